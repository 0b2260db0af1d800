package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrStream says that the stream in NATS is not one that the engine can work with.
var ErrStream = errors.New("the stream does not fit")

// replicasOfCluster is how many copies a new stream of a cluster has, where
// nothing else is asked for.
const replicasOfCluster = 3

// ensure creates the stream, or checks that the one there is fits. A cluster that
// is starting, or electing its leader, is asked again until ctx ends.
func ensure(ctx context.Context, conn *client.Conn, o Options) (*jetstream.StreamInfo, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	said := ""
	for began := time.Now(); ; {
		info, err := tryEnsure(ctx, js, o)
		if err == nil {
			return info, nil
		}
		isMute := errors.Is(err, client.ErrNoResponders)
		if isMute {
			err = fmt.Errorf("nobody answers for JetStream, which may not be enabled: %w", err)
		}
		err = fmt.Errorf("stream %s: %w", o.Prefix, err)
		if isFinal(err) || isMute && time.Since(began) > muteFor {
			return nil, err
		}
		if text := err.Error(); text != said {
			said = text
			o.Log.WarnContext(ctx, "NATS: the stream is not to be had yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(maxBackoff):
		}
	}
}

// muteFor is how long JetStream may be silent in servers that are there.
const muteFor = 5 * time.Second

// isFinal reports whether it is of no use to ask again.
func isFinal(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		if api.ErrorCode == codeNoStore || api.ErrorCode == codeNoPeers {
			return false // a server that has just deleted a stream, or a cluster that has not seen all its servers yet
		}
		return api.Code != 503 || api.ErrorCode == jetstream.JSErrCodeJetStreamNotEnabledForAccount || api.ErrorCode == jetstream.JSErrCodeJetStreamNotEnabled
	}
	return errors.Is(err, ErrStream)
}

func tryEnsure(ctx context.Context, js jetstream.JetStream, o Options) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	want := o.stream()
	found, err := js.Stream(ctx, o.Prefix)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		found, err = create(ctx, js, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
			found, err = js.Stream(ctx, o.Prefix)
		}
	}
	if err != nil {
		return nil, err
	}
	info := found.CachedInfo()
	if err := checkStream(info.Config, want); err != nil {
		return nil, err
	}
	return adjust(ctx, js, info, want)
}

// stream is what the stream must be.
func (o Options) stream() jetstream.StreamConfig {
	config := jetstream.StreamConfig{
		Name:        o.Prefix,
		Description: "channels of Millrace",
		Subjects:    []string{o.Prefix + streamSpace + ">"},
		RePublish:   &jetstream.RePublish{Source: o.Prefix + streamSpace + ">", Destination: o.Prefix + tailSpace + ">"},
		Storage:     jetstream.FileStorage,
		Replicas:    o.Replicas,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    -1,
		Duplicates:  time.Second, // ids are ours to remember
		AllowDirect: true,
		AllowMsgTTL: true,
		DenyDelete:  true,
	}
	if o.MaxBytes > 0 {
		config.MaxBytes = o.MaxBytes
	}
	return config
}

// create makes the stream: where nothing else is asked for with three replicas,
// and with one where NATS is a single server.
func create(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if want.Replicas > 0 {
		return js.CreateStream(ctx, want)
	}
	want.Replicas = replicasOfCluster
	made, err := js.CreateStream(ctx, want)
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeNotClustered {
		want.Replicas = 1
		return js.CreateStream(ctx, want)
	}
	return made, err
}

// adjust changes what may change while the stream is in use.
func adjust(ctx context.Context, js jetstream.JetStream, info *jetstream.StreamInfo, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	config := info.Config
	if want.Replicas > 0 {
		config.Replicas = want.Replicas
	}
	config.MaxBytes = want.MaxBytes
	if config.Replicas == info.Config.Replicas && config.MaxBytes == info.Config.MaxBytes {
		return info, nil
	}
	updated, err := js.UpdateStream(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("change replicas to %d and max_bytes to %d: %w", config.Replicas, config.MaxBytes, err)
	}
	return updated.CachedInfo(), nil
}

// checkStream reports what of a stream would break the rules of delivery.
func checkStream(have, want jetstream.StreamConfig) error {
	wrong := func(setting string, is, must any) error {
		return fmt.Errorf("%w: its %s is %v and must be %v: it was not made by this program, or was changed", ErrStream, setting, is, must)
	}
	switch {
	case len(have.Subjects) != 1 || have.Subjects[0] != want.Subjects[0]:
		return wrong("subjects", have.Subjects, want.Subjects)
	case have.RePublish == nil || have.RePublish.Destination != want.RePublish.Destination || have.RePublish.HeadersOnly:
		return wrong("republish", have.RePublish, want.RePublish.Destination)
	case have.Storage != want.Storage:
		return wrong("storage", have.Storage, want.Storage)
	case have.Retention != jetstream.LimitsPolicy:
		return wrong("retention", have.Retention, jetstream.LimitsPolicy)
	case have.MaxMsgs > 0 || have.MaxAge > 0 || have.MaxMsgsPerSubject > 0:
		return wrong("limits of messages and age", "set", "unlimited")
	case have.Discard != want.Discard:
		return wrong("discard", have.Discard, want.Discard)
	case !have.AllowDirect || !have.AllowMsgTTL || have.Sealed:
		return wrong("allow_direct and allow_msg_ttl", "off", "on")
	}
	return nil
}
