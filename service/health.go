package service

import (
	"context"
	"sync"

	"connectrpc.com/connect/v2"

	healthv1 "millrace.dev/gen/grpc/health/v1"
	"millrace.dev/gen/grpc/health/v1/healthv1connect"
)

// health implements the standard gRPC health service.
type health struct {
	services map[string]bool // set once

	mu      sync.Mutex
	serving bool
	changed chan struct{} // closed at the next change
}

func newHealth(services ...string) *health {
	h := &health{services: map[string]bool{"": true}, serving: true, changed: make(chan struct{})}
	for _, name := range services {
		h.services[name] = true
	}
	return h
}

func (h *health) set(serving bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.serving != serving {
		h.serving = serving
		close(h.changed)
		h.changed = make(chan struct{})
	}
}

// status is the state of a service and a channel that is closed when it changes.
func (h *health) status(service string) (healthv1.HealthCheckResponse_ServingStatus, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.services[service]:
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN, h.changed
	case h.serving:
		return healthv1.HealthCheckResponse_SERVING, h.changed
	}
	return healthv1.HealthCheckResponse_NOT_SERVING, h.changed
}

// Check implements grpc.health.v1.
func (h *health) Check(_ context.Context, request *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	status, _ := h.status(request.GetService())
	if status == healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, connect.Errorf(connect.CodeNotFound, "service %q is not known", request.GetService())
	}
	return &healthv1.HealthCheckResponse{Status: status}, nil
}

// Watch implements grpc.health.v1. It ends with the first NOT_SERVING, which is
// for good.
func (h *health) Watch(ctx context.Context, request *healthv1.HealthCheckRequest, stream healthv1connect.HealthWatchServerStream) error {
	for {
		status, changed := h.status(request.GetService())
		if err := stream.Send(&healthv1.HealthCheckResponse{Status: status}); err != nil {
			return err
		}
		if status == healthv1.HealthCheckResponse_NOT_SERVING {
			return connect.NewError(connect.CodeUnavailable, "the server is going away")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
