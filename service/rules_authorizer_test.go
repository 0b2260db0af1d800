package service_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// application decides in place of grants.
type application struct {
	mu     sync.Mutex
	asked  []*millracev1.AuthorizeRequest
	decide func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error)
}

func (a *application) Authorize(ctx context.Context, request *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
	a.mu.Lock()
	a.asked = append(a.asked, request)
	decide := a.decide
	a.mu.Unlock()
	return decide(ctx, request)
}

func (a *application) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func (a *application) will(decide func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.decide = decide
}

// client calls the application.
func (a *application) client() millracev1connect.AuthorizerServiceClient {
	server := connect.NewServer()
	millracev1connect.RegisterAuthorizerServiceHandler(server, a)
	return millracev1connect.NewAuthorizerServiceClient(connect.NewClient(connectinprocess.New(server)))
}

func startAsking(t *testing.T, a *application) *node {
	t.Helper()
	config := keeping(10)
	config.Authorizer = service.Authorizer{Client: a.client()}
	return start(t, config)
}

func TestA8TheApplicationDecidesWhatGrantsDoNotAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &application{decide: func(_ context.Context, r *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			if strings.HasSuffix(r.GetChannel(), ".never") {
				return &millracev1.AuthorizeResponse{Error: &millracev1.ErrorInfo{Message: "pay first"}}, nil
			}
			return &millracev1.AuthorizeResponse{Allowed: r.GetUser() == "amy" && r.GetAction() == millracev1.Action_ACTION_PUBLISH}, nil
		}}
		n := startAsking(t, a)
		amy := as(t.Context(), n.token("amy", may("granted", auth.Publish)))
		if _, err := n.rpc.Publish(amy, text("granted", "x")); err != nil || a.count() != 0 {
			t.Errorf("what is granted: %v, asked %d times", err, a.count())
		}
		for range 10 {
			if _, err := n.rpc.Publish(amy, text("asked", "x")); err != nil {
				t.Fatal(err)
			}
		}
		if a.count() != 1 {
			t.Errorf("asked %d times", a.count())
		}
		_, err := n.rpc.History(amy, &millracev1.HistoryRequest{Channel: "asked"})
		refused(t, err, "FORBIDDEN")
		_, err = n.rpc.Publish(amy, text("x.never", "x"))
		if info := refused(t, err, "FORBIDDEN"); info.GetMessage() != "pay first" || info.GetChannel() != "x.never" {
			t.Errorf("refused with %v", info)
		}
		time.Sleep(5 * time.Second)
		if _, err := n.rpc.Publish(amy, text("asked", "x")); err != nil || a.count() != 4 {
			t.Errorf("after the cache: %v, asked %d times", err, a.count())
		}
		// Administration is never the application's to give.
		a.will(func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			return &millracev1.AuthorizeResponse{Allowed: true}, nil
		})
		_, err = n.admin.ListSessions(amy, &millracev1.ListSessionsRequest{})
		refused(t, err, "FORBIDDEN")
	})
}

func TestA8AnApplicationThatIsDownIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a := &application{decide: hang}
		n := startAsking(t, a)
		amy := as(t.Context(), n.token("amy", may("granted", auth.Publish)))
		publish := func() (time.Duration, error) {
			began := time.Now()
			_, err := n.rpc.Publish(amy, text("asked", "x"))
			return time.Since(began), err
		}
		for i := range 8 {
			took, err := publish()
			info := refused(t, err, "UNAVAILABLE")
			if info.GetRetryAfter().AsDuration() <= 0 || connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("refused with %v", info)
			}
			if want := map[bool]time.Duration{true: 2 * time.Second}[i < 5]; took != want {
				t.Errorf("call %d took %v, want %v", i, took, want)
			}
		}
		if _, err := n.rpc.Publish(amy, text("granted", "x")); err != nil {
			t.Errorf("what is granted needs no answer: %v", err)
		}
		a.will(func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			return &millracev1.AuthorizeResponse{Allowed: true}, nil
		})
		time.Sleep(6 * time.Second)
		if _, err := publish(); err != nil {
			t.Errorf("when it answers again: %v", err)
		}
		if a.count() != 6 {
			t.Errorf("asked %d times", a.count())
		}
	})
}
