//! Generates the interface, the same that the greeter example has.

fn main() -> Result<(), outboard_build::Error> {
    outboard_build::compile(
        &["../../examples/proto/greeter.proto"],
        &["../../examples/proto"],
    )
}
