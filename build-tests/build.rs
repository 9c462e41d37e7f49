//! Generates the interfaces that the tests use.

fn main() -> Result<(), outboard_build::Error> {
    outboard_build::compile(
        &[
            "proto/greeter.proto",
            "proto/kv.proto",
            "proto/counter.proto",
            "proto/streamer.proto",
        ],
        &["proto"],
    )?;
    outboard_build::configure()
        .optional_methods("provider.Provider")
        .compile(&["proto/provider.proto"], &["proto"])?;
    // Later calls must not disturb what the first one wrote.
    outboard_build::configure()
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
        "byte_order_mark",
        "comment_direction",
        "enum_alias_default",
        "enum_values_overlap",
        "extension_declaration",
        "methods_snake_case",
        "oneof_case",
        "oneof_names",
        "package_and_message",
    ];
    outboard_build::configure()
        .include_file("hard_all.rs")
        .rename_item("enum_values_overlap.E.E_SELF", "Own")
        .rename_method("methods_snake_case.S.getFoo", "get_foo_again")
        .rename_method("methods_snake_case.S.get_foo", "get_foo_in_snake_case")
        .rename_method("methods_snake_case.T.call_", "call_again")
        .rename_item("e2c.M.aB", "other")
        .rename_item("e2.N.inner", "content")
        .rename_item("pam.foo.Bar", "Counter")
        .compile(
            &hard.map(|name| format!("proto/hard/{name}.proto")),
            &["proto/hard"],
        )?;
    // What protoc 35.1 made of the file beside it; a test of the member `interop` compares them.
    outboard_build::configure()
        .include_file("editions_all.rs")
        .compile_descriptor_set("proto/editions/editions.binpb")
}
