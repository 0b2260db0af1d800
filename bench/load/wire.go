package load

// Protocol is how a wire frames what it carries.
type Protocol int

// The protocols.
const (
	WebSocket Protocol = iota
	HTTP1              // a response of HTTP/1.1 that does not end
	HTTP2              // a stream of cleartext HTTP/2, with prior knowledge
)

// Field is one header field; its name is in lower case, which every protocol
// accepts.
type Field struct{ Name, Value string }

// Wire says how to subscribe.
type Wire struct {
	Protocol Protocol
	Method   string // default GET
	Path     string
	Header   []Field
	Body     []byte
	// Frames are the text frames that follow a WebSocket's handshake.
	Frames []string
	// Ready is what the stream holds once the subscription is confirmed. Empty:
	// the response's head says so.
	Ready string
	// Ping is a line that is to be answered with a text frame of the same bytes.
	// Empty: the wire has no pings of its own.
	Ping string
	// Streams on one connection, of HTTP/2. Default 1.
	Streams int
	// TLS, with any certificate.
	TLS bool
}

func (w Wire) method() string {
	if w.Method == "" {
		return "GET"
	}
	return w.Method
}

func (w Wire) streams() int { return max(w.Streams, 1) }

// Target is the server and how to reach it.
type Target struct {
	Address string // host:port of IPv4 that serves the wire
	Wire    Wire
	// PublishAddress serves POST PublishPath. Default Address.
	PublishAddress string
	PublishPath    string
	PublishHeader  []Field
}

func (t Target) publishAddress() string {
	if t.PublishAddress == "" {
		return t.Address
	}
	return t.PublishAddress
}
