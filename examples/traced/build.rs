//! Generates the interfaces, which are those of the example `counter`.

fn main() -> Result<(), outboard_build::Error> {
    outboard_build::compile(&["../proto/counter.proto"], &["../proto"])
}
