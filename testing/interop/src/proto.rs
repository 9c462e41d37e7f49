//! The peers' services as Rust interfaces.

#[allow(missing_docs, reason = "documented in the .proto files")]
pub mod examples {
    //! kv, counter and streamer, wire-compatible with go-plugin's examples.
    outboard::include_proto!("proto");
}

#[allow(missing_docs, reason = "documented in the .proto file")]
pub mod probe {
    //! The service that tests poke plugins with.
    outboard::include_proto!("outboard.interop");
}
