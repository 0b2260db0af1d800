package demo

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// site is what `npm run build` makes of web/packages/demo.
//
//go:embed site
var site embed.FS

// asset is a file of the site as it is sent.
type asset struct {
	kind         string
	plain, small []byte // small is compressed
	tag          string // changes with the content
}

// pages serves the site. It is compressed once, when the program starts.
type pages map[string]*asset

func newSite() pages {
	all := pages{}
	names, err := fs.Glob(site, "site/*")
	if err != nil {
		panic(err) // the pattern is good
	}
	for _, name := range names {
		content, err := site.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		all[path.Base(name)] = newAsset(name, content)
	}
	return all
}

func newAsset(name string, content []byte) *asset {
	var small bytes.Buffer
	w, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is good
	}
	// Writing to a buffer does not fail.
	_, _ = w.Write(content)
	_ = w.Close()
	sum := sha256.Sum256(content)
	return &asset{kind: mime.TypeByExtension(path.Ext(name)), plain: content, small: small.Bytes(), tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// policy lets a page load nothing from elsewhere.
const policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'"

// ServeHTTP implements [http.Handler]. What is not a file is a page, and all pages
// are index.html.
func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found := p[strings.TrimPrefix(r.URL.Path, "/demo/")]
	if found == nil {
		found = p["index.html"]
	}
	header := w.Header()
	header.Set("Content-Type", found.kind)
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept-Encoding")
	header.Set("ETag", found.tag)
	content := found.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		content = found.small
		header.Set("Content-Encoding", "gzip")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
