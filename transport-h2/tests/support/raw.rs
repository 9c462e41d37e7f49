//! Peers written by hand: on h2's own API, or byte by byte.
