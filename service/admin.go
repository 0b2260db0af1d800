package service

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// admin implements AdminService for this node.
type admin struct{ *Service }

// everywhere is what a grant must cover for what is not about one channel.
const everywhere = ">"

// checkAdmin reports that the caller may not do an administrative action.
func checkAdmin(ctx context.Context, action auth.Action, name string) error {
	if identityOf(ctx).May(action, name) {
		return nil
	}
	field := ""
	if name != everywhere {
		field = "channel"
	}
	return refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, field, "the credentials do not allow %s on %s", action, printable(name))
}

// permit is checkAdmin for what changes something: a refusal is logged.
func (a *admin) permit(ctx context.Context, action auth.Action, name string) error {
	err := checkAdmin(ctx, action, name)
	if err != nil {
		c := callerOf(ctx)
		a.log.WarnContext(ctx, "administration refused", "action", string(action), "by", c.identity.User, "token_id", c.identity.TokenID, "address", c.host)
	}
	return err
}

// record logs who has changed what.
func (a *admin) record(ctx context.Context, method string, sessions int, details ...any) {
	c := callerOf(ctx)
	a.log.InfoContext(ctx, "administration", append([]any{
		"method", method, "by", c.identity.User, "token_id", c.identity.TokenID, "address", c.host, "sessions", sessions,
	}, details...)...)
}

// GetNode implements the API.
func (a *admin) GetNode(ctx context.Context, _ *millracev1.GetNodeRequest) (*millracev1.GetNodeResponse, error) {
	identity := identityOf(ctx)
	var allowed []string
	for _, action := range []auth.Action{auth.Inspect, auth.Disconnect, auth.Revoke} {
		if identity.May(action, everywhere) {
			allowed = append(allowed, string(action))
		}
	}
	if len(allowed) == 0 {
		return nil, checkAdmin(ctx, auth.Inspect, everywhere)
	}
	return &millracev1.GetNodeResponse{
		Version: a.config.Version, Node: a.node, User: identity.User, Allowed: allowed,
		StartTime: timestamppb.New(a.started), Time: timestamppb.Now(),
		PendingLimit: uint64(a.limits().PendingBytes),
	}, nil
}

// stillMay reports why a caller who watches may not do so any longer.
func (a *admin) stillMay(ctx context.Context) error {
	identity := identityOf(ctx)
	if identity.Expired() {
		return errExpired()
	}
	return errors.Join(a.revoked.Check(identity), a.kicked.check(identity))
}

// WatchSamples implements the API.
func (a *admin) WatchSamples(ctx context.Context, request *millracev1.WatchSamplesRequest, stream millracev1connect.AdminServiceWatchSamplesServerStream) error {
	if err := checkAdmin(ctx, auth.Inspect, everywhere); err != nil {
		return err
	}
	samples, seen, changed := a.recorder.after(0)
	if n := int(request.GetRecent()); n > 0 && n < len(samples) {
		samples = samples[len(samples)-n:]
	}
	for changed != nil {
		err := a.sendInTime(ctx, func() error { return stream.Send(&millracev1.WatchSamplesResponse{Samples: samples}) })
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		samples, seen, changed = a.recorder.after(seen)
		if err := a.stillMay(ctx); err != nil {
			return err
		}
	}
	return leaving(time.Second)
}

// sendInTime sends what a client must take in time, like a session.
func (a *admin) sendInTime(ctx context.Context, send func() error) error {
	if cut, ok := ctx.Value(cutKey{}).(func()); ok {
		defer time.AfterFunc(a.limits().WriteTimeout, cut).Stop()
	}
	return send()
}
