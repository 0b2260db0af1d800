package compare

import (
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"millrace.dev/bench/load"
)

// program is a server's command.
type program struct {
	name     string // of the binary
	args     []string
	streams  bool // it has an address of its own for streams
	tls      bool // its streams have TLS
	profiles bool // its garbage is collected by asking for a profile, at an address of its own; else by POST /gc
	header   []load.Field
}

const (
	secret = "only-for-servers-that-live-a-few-seconds"
	apiKey = "publishes-to-the-bench-channel"
)

var (
	millrace = program{
		name: "millrace",
		args: []string{
			"serve", "--listen", "127.0.0.1:0", "--secret", secret, "--api-keys", apiKey, "--log-level", "warn",
			"--limits-user-sessions", "1000000", "--limits-call-rate", "1000000", // all subscribers are one user
			"--limits-address-connections", "1000000", "--limits-address-sessions", "1000000", // and at one address
		},
		header: []load.Field{{Name: "authorization", Value: "Bearer " + apiKey}}, profiles: true,
	}
	millraceNoRing = millrace.with("--io-uring=false")

	centrifuge = program{name: "centrifuge"}
	mercure    = program{name: "mercure"}
	coder      = program{name: "coder"}
	floor      = program{name: "floor"}
	floorRing  = floor.with("-ring")
	grpcTyped  = program{name: "grpc", streams: true}
	grpcShared = program{name: "grpc", streams: true, args: []string{"-shared"}}
)

// with is the same program with more arguments.
func (p program) with(args ...string) program {
	p.args = slices.Concat(p.args, args)
	return p
}

// token is every subscriber's, with what each server asks of one.
var token = signToken()

func grant(channel string) map[string]any {
	return map[string]any{"pattern": channel, "actions": []string{"subscribe"}}
}

func signToken() string {
	claims := jwt.MapClaims{
		"sub":     "subscriber",
		"exp":     time.Now().Add(24 * time.Hour).Unix(),
		"grants":  []any{grant("bench"), grant(otherChannel)},
		"mercure": map[string]any{"subscribe": []string{"bench"}},
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		panic(err) // the claims cannot be encoded
	}
	return text
}

func credentials() []load.Field {
	return []load.Field{{Name: "authorization", Value: "Bearer " + token}}
}
