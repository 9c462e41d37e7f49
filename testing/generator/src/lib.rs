//! Interfaces as a user's crate would have them, for the tests.

pub mod greeter {
    //! One unary method.
    outboard::include_proto!("greeter");
}

pub mod kv {
    //! go-plugin's example.
    outboard::include_proto!("proto");
}

pub mod counter {
    //! Streams to the server, and both ways.
    outboard::include_proto!("counter");
}

pub mod streamer {
    //! A stream to the client; a package with dots.
    outboard::include_proto!("streamer.v1");
}

pub mod provider {
    //! Methods that may be left out; messages of any depth.
    outboard::include_proto!("provider");
}

pub mod marked {
    //! Methods that may be called again.
    outboard::include_proto!("marked");
}

pub mod odd_cases {
    //! All packages of the second compilation, through its include file.
    include!(concat!(env!("OUT_DIR"), "/odd_all.rs"));
}

pub mod hard_cases {
    //! What is hard to compile: names that get in each other's way, and odd text.
    include!(concat!(env!("OUT_DIR"), "/hard_all.rs"));
}

pub mod edition_cases {
    //! A file with an edition, from a descriptor set.
    include!(concat!(env!("OUT_DIR"), "/editions_all.rs"));
}
