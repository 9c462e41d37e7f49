package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"outboard.dev/interop/internal/pb/probepb"
)

// secured makes a call, brokered calls both ways, and says how the connection
// is secured.
func secured(ctx context.Context, h *host) (findings, error) {
	_, client, err := h.probe()
	if err != nil {
		return nil, err
	}
	var other grpcpeer.Peer
	if _, err := client.Echo(ctx, &probepb.Payload{}, grpc.Peer(&other)); err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	found, err := brokerBothWays(ctx, h)
	if err != nil {
		return nil, err
	}
	info, ok := other.AuthInfo.(credentials.TLSInfo)
	if !ok {
		found["tls"] = "none"
		return found, nil
	}
	found["tls"] = tls.VersionName(info.State.Version)
	found["alpn"] = info.State.NegotiatedProtocol
	if certificates := info.State.PeerCertificates; len(certificates) > 0 {
		found["key"] = keyKind(certificates[0])
	}
	return found, nil
}

// insecurable wants an error, of the start or of the first call, and says how
// long that took.
func insecurable(ctx context.Context, h *host) (findings, error) {
	begin := time.Now()
	_, client, err := h.probe()
	at := "start"
	if err == nil {
		at = "call"
		_, err = client.Echo(ctx, &probepb.Payload{})
	}
	if err == nil {
		return nil, fmt.Errorf("the call went through")
	}
	return findings{
		"at":      at,
		"refusal": err.Error(),
		"millis":  time.Since(begin).Milliseconds(),
		// A plugin may tell what it thought of our connection.
		"plugin_logs": h.logs.with(""),
	}, nil
}

func keyKind(certificate *x509.Certificate) string {
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return key.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *rsa.PublicKey:
		return "RSA"
	default:
		return fmt.Sprintf("%T", key)
	}
}
