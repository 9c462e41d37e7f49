//! TLS, as a Go host sees it.

use super::{Subject, assert_ended_gracefully};

/// AutoMTLS with either version of TLS, on the first connection and on those of the broker, both ways.
pub fn auto_mtls(subject: &Subject<'_>) {
    for version in ["1.2", "1.3"] {
        let found = subject
            .run(&["all"])
            .flag("-automtls")
            .flag(&format!("-tls-version={version}"))
            .expect("secured", &[]);
        assert_eq!(found["tls"], format!("TLS {version}"), "{found:#}");
        assert_eq!(found["alpn"], "h2", "{found:#}");
        assert_eq!(found["host_served"], 3, "{found:#}");
        assert_eq!(found["plugin_served"], 3, "{found:#}");
        assert_ended_gracefully(&found);
    }
}
