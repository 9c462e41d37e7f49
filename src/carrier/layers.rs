//! What lies between a socket and a transport, and in which order: data that dialling and accepting go by.

use outboard_core::handshake::Protocol;

/// A layer, which takes a stream and gives one or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// TLS, if that is how streams are secured.
    Tls,
    /// One connection that carries the streams of all others.
    Yamux,
}

/// The layers of a protocol, from the socket up. Yamux is there once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    order: &'static [Layer],
    /// What TLS agrees on for the transport above it (ALPN, RFC 7301).
    alpn: Option<&'static str>,
}

impl Layers {
    /// gRPC's. Go's gRPC closes a connection on which `h2` is not agreed on.
    pub(crate) const GRPC: Self = Self {
        order: &[Layer::Tls],
        alpn: Some("h2"),
    };

    /// gRPC's where all connections are streams of one: each stream is secured, and not the connection.
    #[cfg(any(feature = "multiplex", test))]
    pub(crate) const GRPC_MULTIPLEXED: Self = Self {
        order: &[Layer::Yamux, Layer::Tls],
        alpn: Some("h2"),
    };

    /// net/rpc's. What multiplexes there is the transport itself: it is above TLS.
    pub(crate) const NET_RPC: Self = Self {
        order: &[Layer::Tls],
        alpn: None,
    };

    /// Those of a protocol, each of whose connections has its own socket.
    pub(crate) const fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::NetRpc => Self::NET_RPC,
            // Pipes have none, and nobody asks for them.
            _ => Self::GRPC,
        }
    }

    /// The one that comes next above this many.
    pub(super) fn get(self, done: usize) -> Option<Layer> {
        self.order.get(done).copied()
    }

    /// How many there are up to the streams of a common connection; none where nothing is shared.
    #[cfg(any(feature = "multiplex", test))]
    pub(super) fn below_streams(self) -> usize {
        let yamux = self.order.iter().position(|layer| *layer == Layer::Yamux);
        yamux.map_or(0, |at| at + 1)
    }

    /// Whether what is accepted from a socket is secured as it is.
    pub(super) fn secure_connections(self) -> bool {
        self.parts()
            .next()
            .is_some_and(|own| own.contains(&Layer::Tls))
    }

    /// Whether the streams of a common connection are secured one by one; where nothing is shared they
    /// are the connections.
    pub(super) fn secure_streams(self) -> bool {
        self.parts()
            .next_back()
            .is_some_and(|own| own.contains(&Layer::Tls))
    }

    /// The layers of a common connection and those of its streams, or all.
    fn parts(self) -> impl DoubleEndedIterator<Item = &'static [Layer]> {
        self.order.split(|layer| *layer == Layer::Yamux)
    }

    pub(super) fn alpn(self) -> Option<&'static str> {
        self.alpn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As net/rpc has it, if its streams are seen from here.
    const OUTSIDE: Layers = Layers {
        order: &[Layer::Tls, Layer::Yamux],
        alpn: None,
    };

    #[test]
    fn what_is_secured_follows_from_the_order() {
        let secured = |layers: Layers| (layers.secure_connections(), layers.secure_streams());
        assert_eq!(secured(Layers::GRPC), (true, true), "they are the same");
        assert_eq!(secured(Layers::GRPC_MULTIPLEXED), (false, true));
        assert_eq!(secured(OUTSIDE), (true, false));
    }

    /// Go's gRPC closes a connection without `h2`; over net/rpc nothing is offered, as in go-plugin.
    #[test]
    fn what_tls_agrees_on_follows_from_the_protocol() {
        let alpn = |protocol| Layers::of(protocol).alpn();
        assert_eq!(alpn(Protocol::Grpc), Some("h2"));
        assert_eq!(alpn(Protocol::NetRpc), None);
        assert_eq!(Layers::GRPC_MULTIPLEXED.alpn(), Some("h2"));
    }

    #[test]
    fn further_streams_begin_above_what_they_share() {
        let next = |layers: Layers| layers.get(layers.below_streams());
        assert_eq!(
            next(Layers::GRPC),
            Some(Layer::Tls),
            "each has its own socket"
        );
        assert_eq!(next(Layers::GRPC_MULTIPLEXED), Some(Layer::Tls));
        assert_eq!(next(OUTSIDE), None);
    }
}
