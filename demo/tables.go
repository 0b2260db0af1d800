package demo

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// tables are the application's database. Whoever changes a row publishes what
// happened to it, for the query caches of the pages.
type tables struct {
	messages millracev1connect.RealtimeServiceClient // set once

	mu   sync.Mutex
	all  map[string]*table
	last int // id of the newest row
}

// table is rows of one kind, oldest first.
type table struct {
	entity   string
	rows     []row
	position *millracev1.Position // of the last event: what the rows have seen
}

type row map[string]any

// maxRows bounds a table: the oldest row makes room.
const maxRows = 50

func newTables(messages millracev1connect.RealtimeServiceClient) *tables {
	t := &tables{messages: messages, last: 100}
	t.all = map[string]*table{
		"users": {entity: "user", rows: []row{
			{"id": "1", "name": "Ada Lovelace", "city": "London", "score": 815},
			{"id": "2", "name": "Alan Turing", "city": "Manchester", "score": 772},
			{"id": "3", "name": "Grace Hopper", "city": "New York", "score": 906},
			{"id": "4", "name": "Hedy Lamarr", "city": "Vienna", "score": 641},
			{"id": "5", "name": "Katherine Johnson", "city": "Hampton", "score": 918},
		}},
		"messages": {entity: "message", rows: []row{
			{"id": "11", "text": "The queries below are loaded once"},
			{"id": "12", "text": "and then only follow"},
		}},
		"posts": {entity: "post", rows: []row{
			{"id": "21", "title": "On water wheels"},
			{"id": "22", "title": "Counting grain"},
			{"id": "23", "title": "The miller's log"},
		}},
	}
	return t
}

// list answers with the rows, and with the place in the channel that they stand
// for: who follows the channel from there misses nothing.
func (t *tables) list(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.find(w, r)
	if found == nil {
		return
	}
	result := map[string]any{"rows": found.rows}
	if found.position != nil {
		result["position"] = map[string]any{"offset": found.position.GetOffset(), "epoch": found.position.GetEpoch()}
	}
	answer(w, result)
}

func (t *tables) create(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.find(w, r)
	change, ok := body(w, r)
	if found == nil || !ok {
		return
	}
	t.last++
	change["id"] = strconv.Itoa(t.last)
	found.rows = append(found.rows, change)
	found.rows = found.rows[max(0, len(found.rows)-maxRows):]
	t.tell(w, r, found, "create", change)
}

func (t *tables) update(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, at := t.row(w, r)
	if found == nil {
		return
	}
	change, ok := body(w, r)
	if !ok {
		return
	}
	after := maps.Clone(found.rows[at])
	maps.Copy(after, change)
	after["id"] = found.rows[at]["id"]
	found.rows[at] = after
	t.tell(w, r, found, "update", after)
}

func (t *tables) remove(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, at := t.row(w, r)
	if found == nil {
		return
	}
	gone := found.rows[at]
	found.rows = slices.Delete(found.rows, at, at+1)
	t.tell(w, r, found, "delete", gone)
}

// tell publishes what happened to a row, in `entities.` and its kind. Called
// under mu, so that the events of a row are in the order of its changes.
func (t *tables) tell(w http.ResponseWriter, r *http.Request, of *table, what string, changed row) {
	response, err := t.messages.Publish(r.Context(), &millracev1.PublishRequest{
		Channel: "entities." + of.entity,
		Type:    what,
		Data:    payload(changed),
		Entity: &millracev1.Entity{
			Name: of.entity, Id: fmt.Sprint(changed["id"]), Timestamp: time.Now().UTC().Format(time.RFC3339Nano),
		},
	})
	if err != nil {
		refusef(w, http.StatusBadGateway, "the row is changed, but nobody was told: %v", err)
		return
	}
	of.position = response.GetPosition()
	answer(w, changed)
}

func (t *tables) find(w http.ResponseWriter, r *http.Request) *table {
	found := t.all[r.PathValue("table")]
	if found == nil {
		refusef(w, http.StatusNotFound, "no table %q: there are %v", r.PathValue("table"), slices.Sorted(maps.Keys(t.all)))
	}
	return found
}

func (t *tables) row(w http.ResponseWriter, r *http.Request) (*table, int) {
	found := t.find(w, r)
	if found == nil {
		return nil, 0
	}
	at := slices.IndexFunc(found.rows, func(row row) bool { return row["id"] == r.PathValue("id") })
	if at < 0 {
		refusef(w, http.StatusNotFound, "no row %q in %s", r.PathValue("id"), r.PathValue("table"))
		return nil, 0
	}
	return found, at
}

func body(w http.ResponseWriter, r *http.Request) (row, bool) {
	var value row
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&value)
	if err != nil || value == nil {
		refusef(w, http.StatusBadRequest, "the body wants a JSON object of at most 4 KiB")
		return nil, false
	}
	return value, true
}
