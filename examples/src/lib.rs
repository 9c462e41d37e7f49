//! Nothing: the examples are programs of their own, beside this directory.
