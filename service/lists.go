package service

import (
	"bytes"
	"io"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// DecodeProto reads a request in protobuf. One whose lists are longer than they
// may be is refused before an entry is read: each costs objects, and the bytes of
// one request have place for a million.
func (s *Service) DecodeProto(data []byte, into proto.Message) error {
	if err := s.newLists().inProto(data, into.ProtoReflect().Descriptor()); err != nil {
		return err
	}
	return proto.Unmarshal(data, into)
}

// DecodeJSON is DecodeProto for protobuf JSON. A client of a newer version may
// send fields that this one does not know, in JSON as in protobuf.
func (s *Service) DecodeJSON(data []byte, into proto.Message) error {
	l := s.newLists()
	if bytes.Count(data, []byte{','}) >= l.shortest() {
		if err := l.inJSON(gjson.ParseBytes(data), into.ProtoReflect().Descriptor()); err != nil {
			return err
		}
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, into)
}

// lists counts the entries of all lists and maps of a request, and of a command in
// it, by their field: what is one list in protobuf may come in many parts. What is
// no request is not its business: decoding says so.
type lists struct {
	limits  *Limits
	entries map[protoreflect.FieldDescriptor]int // nil until there is one
}

func (s *Service) newLists() *lists {
	return &lists{limits: s.limits()}
}

// shortest is the least number of commas in a list that is too long.
func (l *lists) shortest() int { return min(l.limits.Channels, l.limits.BatchMessages) }

// count reports one entry too many.
func (l *lists) count(field protoreflect.FieldDescriptor) error {
	if l.entries == nil {
		l.entries = map[protoreflect.FieldDescriptor]int{}
	}
	l.entries[field]++
	limit, unit := l.most(field)
	if l.entries[field] <= limit {
		return nil
	}
	return TooMany(string(field.Name()), limit, unit)
}

// most is how many entries the lists of a field may have in all of a request. What
// each subscription or message has a few of is checked one by one when it is read.
func (l *lists) most(field protoreflect.FieldDescriptor) (limit int, unit string) {
	switch field.Name() {
	case "requests":
		return l.limits.BatchMessages, "messages"
	case "seen":
		return l.limits.Seen(), "channels"
	case "types":
		return l.limits.Channels * MaxFilterTypes, "types"
	case "headers":
		return max(l.limits.Channels, l.limits.BatchMessages) * MaxHeaders, "entries"
	}
	return l.limits.Channels, "channels"
}

func (l *lists) inProto(data []byte, message protoreflect.MessageDescriptor) error {
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return nil
		}
		value := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if value < 0 {
			return nil
		}
		if field := message.Fields().ByNumber(number); field != nil && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(data[tag:])
			if err := l.ofField(field, content); err != nil {
				return err
			}
		}
		data = data[tag+value:]
	}
	return nil
}

// ofField counts a field that came once: one entry of a list or map.
func (l *lists) ofField(field protoreflect.FieldDescriptor, content []byte) error {
	if field.IsList() || field.IsMap() {
		if err := l.count(field); err != nil {
			return err
		}
	}
	if !isOurs(field) {
		return nil
	}
	return l.inProto(content, field.Message())
}

func (l *lists) inJSON(object gjson.Result, message protoreflect.MessageDescriptor) (err error) {
	object.ForEach(func(key, value gjson.Result) bool {
		field := message.Fields().ByJSONName(key.Str)
		if field == nil {
			field = message.Fields().ByTextName(key.Str)
		}
		switch {
		case field == nil:
		case field.IsList() && value.IsArray(), field.IsMap() && value.IsObject():
			err = l.entriesInJSON(value, field)
		case isOurs(field) && value.IsObject():
			err = l.inJSON(value, field.Message())
		}
		return err == nil
	})
	return err
}

func (l *lists) entriesInJSON(entries gjson.Result, field protoreflect.FieldDescriptor) (err error) {
	entries.ForEach(func(_, entry gjson.Result) bool {
		err = l.count(field)
		if err == nil && isOurs(field) && entry.IsObject() {
			err = l.inJSON(entry, field.Message())
		}
		return err == nil
	})
	return err
}

// isOurs reports whether a field has a message of the API, and not one that
// stands for any JSON.
func isOurs(field protoreflect.FieldDescriptor) bool {
	message := field.Message()
	return message != nil && !field.IsMap() && message.ParentFile().Package() == millracev1.File_millrace_v1_realtime_service_proto.Package()
}

// hasLists reports whether a message has a list or map of its own.
func hasLists(message proto.Message) bool {
	fields := message.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fields.Get(i).IsList() || fields.Get(i).IsMap() {
			return true
		}
	}
	return false
}

// readAll reads what is left, without a copy where it is in memory.
func readAll(from io.Reader) ([]byte, error) {
	if buffer, ok := from.(*bytes.Buffer); ok {
		return buffer.Next(buffer.Len()), nil
	}
	return io.ReadAll(from)
}
