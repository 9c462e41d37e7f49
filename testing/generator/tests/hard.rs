//! `.proto` files that used to lead to code that does not compile, or to none. That they compile
//! is shown by this crate; here they are used.

mod support;

use std::sync::Arc;

use outboard::codegen::{MethodKind, Service as _};
use outboard::{Client as _, Status};
use outboard_generator::hard_cases::{
    accessors, declared_extensions, default_by_alias, marked_text, methods_of_one_name,
    oneof_beside_type, oneofs_of_one_name, store, text_direction, values_of_one_name,
};
use prost::Message as _;
use support::{block_on, channel_to};

use methods_of_one_name::{Book, BookClient, BookServer, Page};

struct Thumb;

impl Book for Thumb {
    async fn turn_over(&self, page: Page) -> Result<Page, Status> {
        Ok(turned(page, 1))
    }
    async fn turn_twice(&self, page: Page) -> Result<Page, Status> {
        Ok(turned(page, 2))
    }
    async fn turn_thrice(&self, page: Page) -> Result<Page, Status> {
        Ok(turned(page, 3))
    }
}

fn turned(page: Page, times: i32) -> Page {
    Page {
        number: page.number + 2 * times,
    }
}

#[test]
fn renamed_methods_keep_their_names_on_the_wire() {
    let server = Arc::new(BookServer::new(Thumb));
    let methods = server.descriptor().methods;
    let names: Vec<_> = methods.iter().map(|method| method.name).collect();
    assert_eq!(names, ["TurnOver", "turnOver", "turn_over"]);
    assert_eq!(methods[2].path, "/methods_of_one_name.Book/turn_over");
    assert_eq!(methods[2].kind, MethodKind::Unary);
    let client = BookClient::from_channel(channel_to([server]));
    let page = Page { number: 10 };
    block_on(async {
        let number = |page: Page| page.number;
        assert_eq!(client.turn_over(page).await.map(number), Ok(12));
        assert_eq!(client.turn_twice(page).await.map(number), Ok(14));
        assert_eq!(client.turn_thrice(page).await.map(number), Ok(16));
    });
}

#[test]
fn a_renamed_value_is_the_same_in_text_and_on_the_wire() {
    use values_of_one_name::{Thing, Whose};
    assert_eq!((Whose::Self_ as i32, Whose::Own as i32), (1, 3));
    assert_eq!(Whose::Own.as_str_name(), "WHOSE_SELF");
    assert_eq!(Whose::from_str_name("WHOSE_SELF"), Some(Whose::Own));
    assert_eq!(Whose::from_str_name("Self"), Some(Whose::Self_));
    let thing = Thing {
        owner: Whose::Own.into(),
        ..Thing::default()
    };
    assert_eq!(thing.encode_to_vec(), [8, 3]);
}

#[test]
fn a_default_may_be_another_name_of_a_value() {
    use default_by_alias::{Grade, Sample};
    let sample = Sample::default();
    assert_eq!(sample.grade(), Grade::Fair);
    assert_eq!(sample.worst(), Grade::Spoilt);
    assert_eq!(sample.lowest(), f64::NEG_INFINITY);
}

#[test]
fn renamed_oneofs_and_messages_keep_their_form_on_the_wire() {
    use oneofs_of_one_name::{Payment, payment};
    let payment = Payment {
        paid_by: Some(payment::PaidBy::Card("c".into())),
        instead: Some(payment::Instead::Voucher("v".into())),
    };
    assert_eq!(payment.encode_to_vec(), b"\x0a\x01c\x12\x01v");
    use oneof_beside_type::{Arrival, Step, arrival, step};
    let arrival = Arrival {
        whereabouts: Some(arrival::Whereabouts::Described("d".into())),
    };
    assert_eq!(arrival.encode_to_vec(), b"\x12\x01d");
    // Where prost-build has a way out of its own, that stays.
    let step = Step {
        r#move: Some(step::MoveOneOf::ByCompass(step::Move::North.into())),
        walker: None,
    };
    assert_eq!(step.encode_to_vec(), [16, 0]);
    use store::stock::{FruitCrate, crate_of_fruit::Origin, fruit_crate};
    let fruit = FruitCrate {
        origin: Some(Origin { country: 1 }),
        content: Some(fruit_crate::Content::Pieces(2)),
    };
    assert_eq!(fruit.encode_to_vec(), [8, 2, 26, 2, 8, 1]);
}

#[test]
fn files_with_a_byte_order_mark_odd_characters_and_declared_extensions_are_read() {
    assert_eq!(
        marked_text::EditorClient::SERVICE.name,
        "marked_text.Editor"
    );
    assert_eq!(
        text_direction::StreetClient::SERVICE.name,
        "text_direction.Street"
    );
    let profile = declared_extensions::Profile { level: Some(1) };
    assert_eq!(profile.encode_to_vec(), [8, 1]);
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
