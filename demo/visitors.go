package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	tokenLife  = 12 * time.Hour
	cookieName = "millrace_token"
)

var (
	manners = []string{"brave", "calm", "clever", "eager", "gentle", "keen", "kind", "lively", "merry", "nimble", "quiet", "swift", "sunny", "witty"}
	animals = []string{"badger", "beaver", "crane", "finch", "fox", "hare", "heron", "ibis", "lynx", "marten", "otter", "owl", "robin", "wren"}
	// userForm is what a visitor may be called. A dot would make two tokens of it.
	userForm = regexp.MustCompile(`^[a-z]+-[a-z]+-\d{1,4}$`)
)

func randomUser() string {
	return fmt.Sprintf("%s-%s-%d", manners[rand.IntN(len(manners))], animals[rand.IntN(len(animals))], 1+rand.IntN(9999))
}

// enter gives a visitor a name and a token. Who was here before says who he is:
// there are no passwords to play with.
func (d *Demo) enter(w http.ResponseWriter, r *http.Request) {
	var who struct {
		User string `json:"user"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&who); err != nil {
		refusef(w, http.StatusBadRequest, "the body wants {\"user\": …}: %v", err)
		return
	}
	switch {
	case who.User == "":
		who.User = randomUser()
	case !userForm.MatchString(who.User):
		refusef(w, http.StatusBadRequest, "user: wants a name such as %q", "quiet-otter-42")
		return
	case d.denied.has(who.User, denyToken):
		refusef(w, http.StatusServiceUnavailable, "no token for %s at the moment, as was asked for", who.User)
		return
	}
	token, err := d.keys.Sign(who.User, nil, tokenLife)
	if err != nil {
		refusef(w, http.StatusInternalServerError, "sign a token: %v", err)
		return
	}
	// The document's own clients can bring nothing but a cookie.
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	answer(w, map[string]string{"user": who.User, "token": token})
}

// who is the visitor that sends a request; nobody without a good token.
func (d *Demo) who(r *http.Request) auth.Identity {
	token, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !isBearer {
		cookie, err := r.Cookie(cookieName)
		if err != nil {
			return auth.Identity{}
		}
		token = cookie.Value
	}
	who, err := d.keys.Authenticate(r.Context(), auth.Credentials{Token: token})
	if err != nil {
		return auth.Identity{}
	}
	return who
}

// visitor lets only visitors in.
func (d *Demo) visitor(next func(http.ResponseWriter, *http.Request, auth.Identity)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := d.who(r)
		if who.User == "" {
			refusef(w, http.StatusUnauthorized, "wants the token of a visitor")
			return
		}
		next(w, r, who)
	}
}

// sessions tells a visitor which sessions the server has of him.
func (d *Demo) sessions(w http.ResponseWriter, r *http.Request, who auth.Identity) {
	response, err := d.server.ListSessions(r.Context(), &millracev1.ListSessionsRequest{User: who.User})
	if err != nil {
		refusef(w, http.StatusBadGateway, "list sessions: %v", err)
		return
	}
	type session struct {
		ID       string   `json:"id"`
		Protocol string   `json:"protocol"`
		Channels []string `json:"channels"`
	}
	sessions := []session{}
	for _, each := range response.GetSessions() {
		detail, err := d.server.GetSession(r.Context(), &millracev1.GetSessionRequest{Session: each.GetId()})
		if err != nil {
			continue // it has ended
		}
		channels := []string{}
		for _, subscription := range detail.GetSubscriptions() {
			if !subscription.GetPresence() {
				channels = append(channels, subscription.GetChannel())
			}
		}
		sessions = append(sessions, session{each.GetId(), each.GetProtocol(), channels})
	}
	answer(w, sessions)
}

// notify publishes a notification: in the channel of the document's notification
// centre, and in those of its event stream.
func (d *Demo) notify(w http.ResponseWriter, r *http.Request, who auth.Identity) {
	id := fmt.Sprintf("%d", time.Now().UnixNano())
	value := map[string]any{"id": id, "message": notes[rand.IntN(len(notes))], "from": who.User}
	for _, channel := range []string{"notifications", "notification", "update"} {
		if err := d.publish(r.Context(), &millracev1.PublishRequest{Channel: channel, Id: id, Data: payload(value)}); err != nil {
			refusef(w, http.StatusBadGateway, "publish: %v", err)
			return
		}
	}
	answer(w, value)
}

var notes = []string{
	"The build of main is green", "A new sign-up from Lisbon", "The invoice of May was paid", "Backup finished in 41 s",
	"Three people wait in the lobby", "A review was asked of you", "The order 1042 was shipped", "Disk of node 7 is at 80 %",
}

func (d *Demo) publish(ctx context.Context, request *millracev1.PublishRequest) error {
	_, err := d.messages.Publish(ctx, request)
	return err
}

// payload is a value as JSON.
func payload(value any) *millracev1.PublishRequest_Payload {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // only plain values are published
	}
	return &millracev1.PublishRequest_Payload{Payload: &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: string(text)}}}
}

// denials are what visitors have asked to be refused for a while.
type denials struct {
	mu    sync.Mutex
	until map[denial]time.Time
}

type denial struct{ user, what string }

func newDenials() *denials { return &denials{until: map[denial]time.Time{}} }

func (d *denials) add(user, what string, long time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for old, until := range d.until {
		if time.Now().After(until) {
			delete(d.until, old)
		}
	}
	d.until[denial{user, what}] = time.Now().Add(long)
}

func (d *denials) has(user, what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.until[denial{user, what}])
}
