package service

// meterSeconds is the time over which a meter averages.
const meterSeconds = 10

// meter tells how often something happens, over about ten seconds. What is added
// brings its time along, so that counting asks no clock. It is guarded by who has
// it; its zero value has counted nothing.
type meter struct {
	window      int64 // number of the ten seconds that are being counted
	now, before counted
}

// counted is what happened in one window.
type counted struct{ messages, bytes int }

// add counts a message of so many bytes at a time in nanoseconds. Times that run
// back count for the newest window.
func (m *meter) add(at int64, bytes int) {
	m.turn(at)
	m.now.messages++
	m.now.bytes += bytes
}

// turn begins the window that a time is in.
func (m *meter) turn(at int64) {
	window := at / (meterSeconds * nanos)
	if window <= m.window {
		return
	}
	if window > m.window+1 {
		m.now = counted{}
	}
	m.before, m.now, m.window = m.now, counted{}, window
}

const nanos = int64(1e9)

// rates are messages and bytes a second as of a time: those of the window that is
// being counted, and of the one before as far as ten seconds reach back into it.
func (m *meter) rates(at int64) (messages, bytes float64) {
	m.turn(at)
	left := 1 - float64(at%(meterSeconds*nanos))/float64(meterSeconds*nanos)
	rate := func(now, before int) float64 { return (float64(now) + left*float64(before)) / meterSeconds }
	return rate(m.now.messages, m.before.messages), rate(m.now.bytes, m.before.bytes)
}
