// Handshakes by crypto/tls with a sidecar of ours in either role. A peer that was let in is one that gets HTTP/2's SETTINGS: in TLS 1.3 a
// client learns only by reading whether its certificate was refused.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"time"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

var emptySettings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

const patience = 10 * time.Second

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// configOf demands the peer to be id below anchors, as every Dapr service does, and shows the certificate in chain.
func configOf(id, anchors, chain, key, version string) (*tls.Config, error) {
	pool, err := readPool(anchors)
	if err != nil {
		return nil, err
	}
	// Says also whether the certificate was made for this key.
	own, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	wanted, known := versions[version]
	if !known {
		return nil, errors.New("unknown version of TLS " + version)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		MinVersion:   wanted,
		MaxVersion:   wanted,
		NextProtos:   []string{"h2"},
		// SPIFFE ids take the place of host names, so the path is verified below and not by the library's rule.
		InsecureSkipVerify: true,
		ClientAuth:         tls.RequireAnyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyChain(state.PeerCertificates, pool, id)
		},
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}, nil
}

// Twice over one session cache: the second handshake may resume, and must be let in all the same.
func dial(address, id, anchors, chain, key, version string) error {
	config, err := configOf(id, anchors, chain, key, version)
	if err != nil {
		return err
	}
	for attempt := 1; attempt <= 2; attempt++ {
		resumed, err := greet(address, config)
		if err != nil {
			return fmt.Errorf("handshake %d: %w", attempt, err)
		}
		if resumed != (attempt == 2) {
			return fmt.Errorf("handshake %d: resumed is %t", attempt, resumed)
		}
	}
	return nil
}

func greet(address string, config *tls.Config) (resumed bool, err error) {
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, config)
	if err != nil {
		return false, err
	}
	defer connection.Close()
	if protocol := connection.ConnectionState().NegotiatedProtocol; protocol != "h2" {
		return false, fmt.Errorf("negotiated %q, not h2", protocol)
	}
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := connection.Write(append([]byte(preface), emptySettings...)); err != nil {
		return false, err
	}
	frame := make([]byte, 9)
	if _, err := io.ReadFull(connection, frame); err != nil {
		return false, fmt.Errorf("no SETTINGS: %w", err)
	}
	if frame[3] != 4 {
		return false, fmt.Errorf("the first frame has type %d, not SETTINGS", frame[3])
	}
	return connection.ConnectionState().DidResume, nil
}

// A peer with no certificate, or with one that nobody vouches for, must not get as far as SETTINGS.
func stranger(address, kind string) error {
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	if kind == "self" {
		own, err := selfSigned()
		if err != nil {
			return err
		}
		// Shown even though the server names other authorities, which keeps crypto/tls from showing it by itself.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	}
	if _, err := greet(address, config); err == nil {
		return errors.New("a stranger was let in")
	}
	return nil
}

func selfSigned() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		URIs:         []*url.URL{{Scheme: "spiffe", Host: "public", Path: "/ns/default/friend"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

// Prints its address, then waits for one client, which must be id, and gives it SETTINGS.
func serve(id, anchors, chain, key, version string) error {
	config, err := configOf(id, anchors, chain, key, version)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Println(listener.Addr())
	accepted, err := listener.Accept()
	if err != nil {
		return err
	}
	connection := accepted.(*tls.Conn)
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := connection.Handshake(); err != nil {
		return err
	}
	if _, err := connection.Write(emptySettings); err != nil {
		return err
	}
	// Until the client hangs up: closing first could cut off what was written.
	_, err = io.Copy(io.Discard, connection)
	return err
}
