//! Generated code in a private module of a program that uses a part of it.

mod hidden {
    outboard::include_proto!("greeter");
}

mod odd_hidden {
    include!(concat!(env!("OUT_DIR"), "/odd_all.rs"));
}

#[test]
fn unused_parts_are_no_warnings() {
    // The compiler checks it; this only makes the module needed.
    let request = hidden::GreetRequest::default();
    assert_eq!(request.name, "");
    let request = odd_hidden::Plain::default();
    assert_eq!(request.number, 0);
}
