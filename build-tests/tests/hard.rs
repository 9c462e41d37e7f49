//! `.proto` files that used to lead to code that does not compile, or to none. That they compile
//! is shown by this crate; here they are used.

mod support;

use std::sync::Arc;

use outboard::codegen::{MethodKind, Service as _};
use outboard::{Client as _, Status};
use outboard_build_tests::hard_cases::{
    accessors, e2, e2c, e3, e5bom, enum_values_overlap, extension_declaration, methods_snake_case,
    pam,
};
use prost::Message as _;
use support::{block_on, channel_to};

struct Numbered;

impl methods_snake_case::S for Numbered {
    async fn get_foo(&self, m: methods_snake_case::M) -> Result<methods_snake_case::M, Status> {
        Ok(methods_snake_case::M { a: m.a + 1 })
    }
    async fn get_foo_again(
        &self,
        m: methods_snake_case::M,
    ) -> Result<methods_snake_case::M, Status> {
        Ok(methods_snake_case::M { a: m.a + 2 })
    }
    async fn get_foo_in_snake_case(
        &self,
        m: methods_snake_case::M,
    ) -> Result<methods_snake_case::M, Status> {
        Ok(methods_snake_case::M { a: m.a + 3 })
    }
}

#[test]
fn renamed_methods_keep_their_names_on_the_wire() {
    let server = Arc::new(methods_snake_case::SServer::new(Numbered));
    let methods = server.descriptor().methods;
    let names: Vec<_> = methods.iter().map(|method| method.name).collect();
    assert_eq!(names, ["GetFoo", "getFoo", "get_foo"]);
    assert_eq!(methods[2].path, "/methods_snake_case.S/get_foo");
    assert_eq!(methods[2].kind, MethodKind::Unary);
    let client = methods_snake_case::SClient::from_channel(channel_to([server]));
    let m = methods_snake_case::M { a: 0 };
    use methods_snake_case::S as _;
    block_on(async {
        assert_eq!(client.get_foo(m).await.map(|m| m.a), Ok(1));
        assert_eq!(client.get_foo_again(m).await.map(|m| m.a), Ok(2));
        assert_eq!(client.get_foo_in_snake_case(m).await.map(|m| m.a), Ok(3));
    });
}

#[test]
fn a_renamed_value_is_the_same_in_text_and_on_the_wire() {
    use enum_values_overlap::{E, M};
    assert_eq!((E::Self_ as i32, E::Own as i32), (1, 3));
    assert_eq!(E::Own.as_str_name(), "E_SELF");
    assert_eq!(E::from_str_name("E_SELF"), Some(E::Own));
    assert_eq!(E::from_str_name("Self"), Some(E::Self_));
    let m = M {
        e: E::Own.into(),
        ..M::default()
    };
    assert_eq!(m.encode_to_vec(), [8, 3]);
}

#[test]
fn a_default_may_be_another_name_of_a_value() {
    let m = e3::M::default();
    assert_eq!(m.e(), e3::E::One);
    assert_eq!(m.n(), e3::E::Neg);
    assert_eq!(m.d(), f64::NEG_INFINITY);
}

#[test]
fn renamed_oneofs_and_messages_keep_their_form_on_the_wire() {
    let m = e2c::M {
        a_b: Some(e2c::m::AB::S("s".into())),
        other: Some(e2c::m::Other::T("t".into())),
    };
    assert_eq!(m.encode_to_vec(), b"\x0a\x01s\x12\x01t");
    let n = e2::N {
        content: Some(e2::n::Content::K("k".into())),
    };
    assert_eq!(n.encode_to_vec(), b"\x12\x01k");
    // Where prost-build has a way out of its own, that stays.
    let m = e2::M {
        r#type: Some(e2::m::TypeOneOf::T(0)),
        inner: None,
    };
    assert_eq!(m.encode_to_vec(), [16, 0]);
    let bar = pam::foo::Counter {
        baz: Some(pam::foo::bar::Baz { a: 1 }),
        x: Some(pam::foo::counter::X::A(2)),
    };
    assert_eq!(bar.encode_to_vec(), [8, 2, 26, 2, 8, 1]);
}

#[test]
fn files_with_a_byte_order_mark_and_declared_extensions_are_read() {
    assert_eq!(e5bom::SClient::SERVICE.name, "e5bom.S");
    let options = extension_declaration::Options { a: Some(1) };
    assert_eq!(options.encode_to_vec(), [8, 1]);
}

#[test]
fn accessors_may_have_the_names_of_methods() {
    use accessors::M;
    use accessors::m::{self, Choice, Group, Kind, Many};
    // The enum field of this name has an accessor of this name.
    let mut m = <M as Default>::default();
    assert_eq!(M::clear(&m), Kind::Unknown);
    assert_eq!(M::text(&m), "a\"\\\n\u{202E}\t");
    assert_eq!(M::raw(&m), b"\0\xFF\"\\");
    assert!(m.inf() == f32::INFINITY && m.nan().is_nan() && m.yes());
    assert_eq!(m.low(), i64::MIN);
    m.set_type(Kind::Unknown);
    m.push_self_(Kind::Self_);
    m.group = Some(Box::new(Group {
        a: Some(1),
        again: None,
    }));
    m.many = vec![Many { text: "m".into() }];
    m.choice = Some(Choice::Ok(m::Ok { a: Some(2) }));
    let bytes = m.encode_to_vec();
    assert_eq!(M::decode(bytes.as_slice()), Ok(m));
}
