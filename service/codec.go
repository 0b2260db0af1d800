package service

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// codecs are those of the service's Connect server: protobuf and JSON, which also
// write a [Batch] from shared bytes, and read no list that is longer than it may be.
func (s *Service) codecs() []connect.Codec {
	jsonCodec := connectproto.NewJSONCodec()
	jsonCodec.UnmarshalOptions.DiscardUnknown = true
	return []connect.Codec{
		codec{StableCodec: connectproto.NewBinaryCodec(), write: (*Batch).WriteProto, read: s.DecodeProto},
		codec{StableCodec: jsonCodec, write: (*Batch).WriteJSON, read: s.DecodeJSON},
	}
}

type codec struct {
	connect.StableCodec
	write func(*Batch, io.Writer) error
	read  func([]byte, proto.Message) error
}

// MarshalWrite implements [connect.Codec].
func (c codec) MarshalWrite(ctx context.Context, dst io.Writer, message any) error {
	if batch, ok := message.(*Batch); ok {
		return c.write(batch, dst)
	}
	return c.StableCodec.MarshalWrite(ctx, dst, message)
}

// UnmarshalRead implements [connect.Codec].
func (c codec) UnmarshalRead(ctx context.Context, src io.Reader, message any) error {
	into, ok := message.(proto.Message)
	if !ok || !hasLists(into) {
		return c.StableCodec.UnmarshalRead(ctx, src, message)
	}
	data, err := readAll(src)
	if err != nil {
		return err
	}
	return c.read(data, into)
}

// WriteProto writes the batch as one SubscribeResponse in protobuf. Encoded
// messages with only repeated fields are joined by writing them one after the
// other (protobuf encoding, "last one wins" does not apply to repeated fields).
func (b *Batch) WriteProto(dst io.Writer) error {
	for _, f := range b.Frames {
		if _, err := dst.Write(f.Bytes(FormatProto, encodeProto)); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes the batch as one SubscribeResponse in protobuf JSON.
func (b *Batch) WriteJSON(dst io.Writer) error {
	if b.IsNotice() {
		_, err := dst.Write(b.Frames[0].Bytes(FormatProtoJSON, encodeProtoJSON))
		return err
	}
	separator := `{"messages":[`
	for _, f := range b.Frames {
		if _, err := io.WriteString(dst, separator); err != nil {
			return err
		}
		if _, err := dst.Write(f.Bytes(FormatProtoJSON, encodeProtoJSON)); err != nil {
			return err
		}
		separator = ","
	}
	_, err := io.WriteString(dst, "]}")
	return err
}

// EncodeProto encodes a frame as one SubscribeResponse in protobuf, for a format
// that has it inside.
func EncodeProto(f *Frame) []byte { return encodeProto(f) }

// EncodeJSON encodes a frame as one SubscribeResponse in protobuf JSON, for a
// format that has it inside.
func EncodeJSON(f *Frame) []byte {
	b := encodeProtoJSON(f)
	if f.Notice != nil {
		return b
	}
	return append(append([]byte(`{"messages":[`), b...), "]}"...)
}

func encodeProto(f *Frame) []byte {
	b, err := proto.Marshal(f.Response())
	mustEncode(err)
	return b
}

func encodeProtoJSON(f *Frame) []byte {
	var message proto.Message = f.Notice
	if f.Message != nil {
		message = f.message()
	}
	b, err := protojson.Marshal(message)
	mustEncode(err)
	// protojson varies its spaces from build to build; without them the bytes
	// are the same everywhere.
	var compact bytes.Buffer
	mustEncode(json.Compact(&compact, b))
	return compact.Bytes()
}

// mustEncode holds that what the service accepted can be encoded: the only
// errors of protobuf here are text that is not UTF-8, which is refused on entry.
func mustEncode(err error) {
	if err != nil {
		panic("encode frame: " + err.Error())
	}
}
