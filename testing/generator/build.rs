//! Generates the interfaces that the tests use.

fn main() -> Result<(), outboard_build::Error> {
    // What outboard has on unix alone.
    let blocking = std::env::var_os("CARGO_CFG_UNIX").is_some();
    outboard_build::configure().blocking(blocking).compile(
        &[
            "proto/greeter.proto",
            "proto/kv.proto",
            "proto/counter.proto",
            "proto/streamer.proto",
            "proto/marked.proto",
        ],
        &["proto"],
    )?;
    outboard_build::configure()
        .blocking(blocking)
        .optional_methods("provider.Provider")
        .compile(&["proto/provider.proto"], &["proto"])?;
    // Later calls must not disturb what the first one wrote.
    outboard_build::configure()
        .blocking(blocking)
        .include_file("odd_all.rs")
        .rename_service("odd.Clash", "ClashService")
        .bytes([".odd.Everything.raw"])
        .compile(
            &["odd/odd.proto", "odd/none.proto", "odd/extended.proto"]
                .map(|p| format!("proto/{p}")),
            &["proto/odd"],
        )?;
    let hard = [
        "accessors",
        "declared_extensions",
        "default_by_alias",
        "marked_text",
        "methods_of_one_name",
        "oneof_beside_type",
        "oneofs_of_one_name",
        "package_beside_message",
        "text_direction",
        "values_of_one_name",
    ];
    outboard_build::configure()
        .blocking(blocking)
        .include_file("hard_all.rs")
        .rename_item("values_of_one_name.Whose.WHOSE_SELF", "Own")
        .rename_method("methods_of_one_name.Book.turnOver", "turn_twice")
        .rename_method("methods_of_one_name.Book.turn_over", "turn_thrice")
        .rename_method("methods_of_one_name.Shelf.fetch_", "fetch_again")
        .rename_item("oneofs_of_one_name.Payment.paidBy", "instead")
        .rename_item("oneof_beside_type.Arrival.place", "whereabouts")
        .rename_item("store.stock.CrateOfFruit", "FruitCrate")
        .compile(
            &hard.map(|name| format!("proto/hard/{name}.proto")),
            &["proto/hard"],
        )?;
    // What protoc 35.1 made of the file beside it; a test of the member `interop` compares them.
    outboard_build::configure()
        .include_file("editions_all.rs")
        .compile_descriptor_set("proto/editions/editions.binpb")
}
