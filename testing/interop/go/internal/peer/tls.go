package peer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/hashicorp/go-plugin"
)

// TLSFiles says what one side shows and trusts, for TLS of the application's
// own and for what stands in for AutoMTLS with a certificate of our choice.
type TLSFiles struct {
	// Identity is the path of a certificate and its key, without .pem and .key.
	Identity string
	// Trust is the path of the certificates that the other side's must be or
	// come from. Without it those in PLUGIN_CLIENT_CERT are.
	Trust string
	// Version is 1.2 or 1.3 for one that allows no other.
	Version string
	// AsClient is another identity, for where this side is the client; "none"
	// for no certificate.
	AsClient string
}

// Config makes the configuration for both roles, as AutoMTLS does.
func (f TLSFiles) Config() (*tls.Config, error) {
	certificate, err := load509(f.Identity)
	if err != nil {
		return nil, err
	}
	trusted := []byte(os.Getenv("PLUGIN_CLIENT_CERT"))
	if f.Trust != "" {
		if trusted, err = os.ReadFile(f.Trust); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(trusted) {
		return nil, fmt.Errorf("no certificate to trust in %q", trusted)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		RootCAs:      pool,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS12,
	}
	if f.AsClient != "" {
		shown := tls.Certificate{}
		if f.AsClient != "none" {
			if shown, err = load509(f.AsClient); err != nil {
				return nil, err
			}
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &shown, nil
		}
	}
	return config, SetTLSVersion(config, f.Version)
}

// SetTLSVersion allows this version alone; any if it is empty.
func SetTLSVersion(config *tls.Config, version string) error {
	switch version {
	case "":
	case "1.2":
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3":
		config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	default:
		return fmt.Errorf("unknown version %q of TLS", version)
	}
	return nil
}

func load509(identity string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(identity+".pem", identity+".key")
}

// Secure has a plugin use TLS, and announce it, as the environment says.
func Secure(config *plugin.ServeConfig) error {
	if os.Getenv("INTEROP_TLS") == "none" {
		if err := os.Unsetenv("PLUGIN_CLIENT_CERT"); err != nil {
			return err
		}
	}
	if identity := os.Getenv("INTEROP_TLS_IDENTITY"); identity != "" {
		files := TLSFiles{
			Identity: identity,
			Trust:    os.Getenv("INTEROP_TLS_TRUST"),
			AsClient: os.Getenv("INTEROP_TLS_AS_CLIENT"),
			Version:  os.Getenv("INTEROP_TLS_VERSION"),
		}
		config.TLSProvider = files.Config
	}
	if path := os.Getenv("INTEROP_TLS_ANNOUNCE"); path != "" {
		return Announce(config, path)
	}
	return nil
}

// Announce has the plugin print its line with the certificate of a file in
// field six. go-plugin announces only what it has made itself; its test mode
// leaves the line to us, and all else is as ever.
func Announce(config *plugin.ServeConfig, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("no certificate in %s", path)
	}
	stdout, served := os.Stdout, make(chan *plugin.ReattachConfig, 1)
	config.Test = &plugin.ServeTestConfig{ReattachConfigCh: served}
	go func() {
		at := <-served
		fmt.Fprintf(stdout, "%d|%d|%s|%s|%s|%s\n", plugin.CoreProtocolVersion, at.ProtocolVersion,
			at.Addr.Network(), at.Addr.String(), at.Protocol, base64.RawStdEncoding.EncodeToString(block.Bytes))
	}()
	return nil
}
