// The judge of `make interop`: Go's crypto/x509 and crypto/tls, on which every Dapr service stands, against certificates and
// TLS of ours. It holds no opinion of its own beyond the SPIFFE rules that a peer must keep: one URI, and the right one. Only the
// standard library. interop.ts calls it; exit code 0 is a pass, 1 a failure with its reason on stderr.
package main

import (
	"fmt"
	"os"
)

// Each check with its arguments; files hold PEM.
var checks = map[string]struct {
	arguments string
	run       func(arguments []string) error
}{
	"verify":   {"ANCHORS CHAIN ID", func(a []string) error { return verifyFiles(a[0], a[1], a[2]) }},
	"csr":      {"ecdsa|ed25519|rsa CSR KEY", func(a []string) error { return makeRequest(a[0], a[1], a[2]) }},
	"dial":     {"ADDRESS ID ANCHORS CHAIN KEY 1.2|1.3", func(a []string) error { return dial(a[0], a[1], a[2], a[3], a[4], a[5]) }},
	"stranger": {"ADDRESS none|self", func(a []string) error { return stranger(a[0], a[1]) }},
	"serve":    {"ID ANCHORS CHAIN KEY 1.2|1.3", func(a []string) error { return serve(a[0], a[1], a[2], a[3], a[4]) }},
}

func main() {
	if len(os.Args) < 2 {
		fail("say which check")
	}
	check, known := checks[os.Args[1]]
	if !known {
		fail("unknown check " + os.Args[1])
	}
	arguments := os.Args[2:]
	if want := len(fields(check.arguments)); len(arguments) != want {
		fail(os.Args[1] + " takes " + check.arguments)
	}
	if err := check.run(arguments); err != nil {
		fail(err.Error())
	}
	fmt.Println("ok")
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
