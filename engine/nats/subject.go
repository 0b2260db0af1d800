package nats

import "strings"

// Subjects. A prefix sets deployments that share NATS servers apart.
//
//	PREFIX.log.c.CHANNEL  records, which the stream of the name PREFIX keeps
//	PREFIX.log.kept.KEY   what nodes keep for those that come later
//	PREFIX.log.tick       records of nothing, which prove that the stream takes any
//	PREFIX.tail.…         all records, sent by the stream once it has them
//	PREFIX.cast.CHANNEL   broadcasts
//	PREFIX.node.NODE      what nodes say to one, or to all
const (
	streamSpace = ".log."
	logSpace    = ".log.c."
	keptSpace   = ".log.kept."
	tickSubject = ".log.tick"
	tailSpace   = ".tail."
	castSpace   = ".cast."
	nodeSpace   = ".node."
	allNodes    = "all"
)

const hex = "0123456789ABCDEF"

// encode makes the name of a channel the end of a subject: the bytes that mean
// something to NATS are written %XX, and an empty token %. The tokens stay, so
// that names are legible.
func encode(channel string) string {
	if !needsEscape(channel) {
		return channel
	}
	var b strings.Builder
	for i, token := range strings.Split(channel, ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		if token == "" {
			b.WriteByte('%')
		}
		for k := range len(token) {
			if c := token[k]; isSpecial(c) {
				b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			} else {
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// decode is the inverse of encode; ok is false for what encode does not write.
func decode(subject string) (channel string, ok bool) {
	if !strings.Contains(subject, "%") {
		return subject, !needsEscape(subject)
	}
	var b strings.Builder
	for i, token := range strings.Split(subject, ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		if token == "%" {
			continue
		}
		for k := 0; k < len(token); k++ {
			c := token[k]
			if c == '%' {
				if k+2 >= len(token) {
					return "", false
				}
				high, low := strings.IndexByte(hex, token[k+1]), strings.IndexByte(hex, token[k+2])
				if high < 0 || low < 0 {
					return "", false
				}
				c = byte(high<<4 | low)
				k += 2
			}
			b.WriteByte(c)
		}
	}
	channel = b.String()
	return channel, encode(channel) == subject
}

func isSpecial(c byte) bool { return c <= ' ' || c == 0x7f || c == '*' || c == '>' || c == '%' }

func needsEscape(channel string) bool {
	empty := true // token
	for i := range len(channel) {
		c := channel[i]
		if isSpecial(c) || c == '.' && empty {
			return true
		}
		empty = c == '.'
	}
	return empty
}
