// Command grpc is a hub on grpc-go: a server stream, a goroutine and a channel
// for each subscriber. With -shared, a message is encoded once and all streams
// send the same buffer; without, each stream encodes it, as generated code does.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec of whatever is not shared
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"millrace.dev/bench/peers/internal/peer"
)

func main() { peer.Main(run) }

func run() error {
	shared := flag.Bool("shared", false, "encode a message once for all streams")
	flag.Parse()
	listener, err := peer.Listen()
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if *shared {
		options = append(options, grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}))
	}
	var hub peer.Hub[any]
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Hub",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Subscribe", ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return subscribe(&hub, stream) },
		}},
	}, nil)
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	fmt.Fprintf(os.Stdout, "streams on %s\n", listener.Addr())
	go func() { failed <- peer.Serve(http.NewServeMux(), publisher(&hub, *shared)) }()
	return <-failed
}

func publisher(hub *peer.Hub[any], shared bool) func([]byte) error {
	return func(data []byte) error {
		message := &wrapperspb.BytesValue{Value: data}
		if !shared {
			hub.Publish(message)
			return nil
		}
		encoded, err := proto.Marshal(message)
		if err == nil {
			hub.Publish(mem.BufferSlice{mem.SliceBuffer(encoded)})
		}
		return err
	}
}

func subscribe(hub *peer.Hub[any], stream grpc.ServerStream) error {
	if err := authorize(stream); err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	var channel wrapperspb.StringValue
	if err := stream.RecvMsg(&channel); err != nil {
		return err
	}
	messages := hub.Subscribe()
	defer hub.Unsubscribe(messages)
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for {
		select {
		case message, ok := <-messages:
			if !ok {
				return status.Error(codes.ResourceExhausted, "too slow")
			}
			if err := stream.SendMsg(*message); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func authorize(stream grpc.ServerStream) error {
	header := ""
	if values := metadata.ValueFromIncomingContext(stream.Context(), "authorization"); len(values) > 0 {
		header = values[0]
	}
	_, err := peer.Authorize(header)
	return err
}

// codec passes on what is encoded already.
type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	if encoded, ok := message.(mem.BufferSlice); ok {
		return encoded, nil
	}
	return c.CodecV2.Marshal(message)
}
