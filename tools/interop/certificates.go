// Certificates and requests: read from PEM files, verified by crypto/x509, made by crypto/x509.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

func fields(text string) []string { return strings.Fields(text) }

func readCertificates(path string) ([]*x509.Certificate, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return found, nil
}

func readPool(path string) (*x509.CertPool, error) {
	certificates, err := readCertificates(path)
	if err != nil {
		return nil, err
	}
	return poolOf(certificates), nil
}

func poolOf(certificates []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool
}

func verifyFiles(anchors, chain, id string) error {
	pool, err := readPool(anchors)
	if err != nil {
		return err
	}
	certificates, err := readCertificates(chain)
	if err != nil {
		return err
	}
	return verifyChain(certificates, pool, id)
}

// The rules of X.509-SVID for a leaf, on top of the path: no CA, exactly one URI, no use beyond signing.
func verifyChain(chain []*x509.Certificate, anchors *x509.CertPool, id string) error {
	leaf := chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         anchors,
		Intermediates: poolOf(chain[1:]),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return errors.New("the leaf may sign certificates")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id {
		return fmt.Errorf("the leaf is %v, not %s", leaf.URIs, id)
	}
	return nil
}

// A request that asks for more than it will be given: a name, a URI and a DNS name.
func makeRequest(kind, csrPath, keyPath string) error {
	key, err := makeKey(kind)
	if err != nil {
		return err
	}
	asked := &url.URL{Scheme: "spiffe", Host: "elsewhere", Path: "/ns/other/app"}
	template := &x509.CertificateRequest{URIs: []*url.URL{asked}, DNSNames: []string{"dapr-webhook.default.svc"}}
	request, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePem(csrPath, "CERTIFICATE REQUEST", request); err != nil {
		return err
	}
	return writePem(keyPath, "PRIVATE KEY", private)
}

func makeKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "ecdsa":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, errors.New("unknown kind of key " + kind)
}

func writePem(path, label string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), 0o600)
}
