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
	going    chan struct{}   // closed when the server is going away
	leave    func()          // closes it
}

func newHealth(services ...string) *health {
	h := &health{services: map[string]bool{"": true}, going: make(chan struct{})}
	h.leave = sync.OnceFunc(func() { close(h.going) })
	for _, name := range services {
		h.services[name] = true
	}
	return h
}

// isGoing reports whether the server is going away, which is for good.
func (h *health) isGoing() bool {
	select {
	case <-h.going:
		return true
	default:
		return false
	}
}

func (h *health) status(service string) healthv1.HealthCheckResponse_ServingStatus {
	switch {
	case !h.services[service]:
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	case h.isGoing():
		return healthv1.HealthCheckResponse_NOT_SERVING
	}
	return healthv1.HealthCheckResponse_SERVING
}

// Check implements grpc.health.v1.
func (h *health) Check(_ context.Context, request *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	status := h.status(request.GetService())
	if status == healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, connect.Errorf(connect.CodeNotFound, "service %q is not known", request.GetService())
	}
	return &healthv1.HealthCheckResponse{Status: status}, nil
}

// Watch implements grpc.health.v1. It ends when the server is going away.
func (h *health) Watch(ctx context.Context, request *healthv1.HealthCheckRequest, stream healthv1connect.HealthWatchServerStream) error {
	for {
		isLast := h.isGoing() // before the status, which then says so
		if err := stream.Send(&healthv1.HealthCheckResponse{Status: h.status(request.GetService())}); err != nil {
			return err
		}
		if isLast {
			return connect.NewError(connect.CodeUnavailable, "the server is going away")
		}
		select {
		case <-h.going:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
