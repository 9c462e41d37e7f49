use proptest::prelude::*;

use super::*;

fn provider() -> ReattachConfig {
    let mut record = ReattachConfig::new(
        Protocol::Grpc,
        Endpoint::Unix("/tmp/plugin2908212597".into()),
    );
    record.version = Some(6);
    record.pid = Some(47254);
    record.test = true;
    record
}

/// As the documentation of Terraform has it.
const TERRAFORM: &str = r#"{"registry.terraform.io/hashicorp/time":{"Protocol":"grpc","ProtocolVersion":6,"Pid":47254,"Test":true,
  "Addr":{"Network":"unix","String":"/tmp/plugin2908212597"}}}"#;

#[test]
fn the_map_of_terraform_is_read_and_written() {
    let name = "registry.terraform.io/hashicorp/time".to_owned();
    let records = ReattachConfig::map_from_json(TERRAFORM).expect("it is one");
    assert_eq!(records, BTreeMap::from([(name, provider())]));
    let written = ReattachConfig::map_to_json(records);
    let (written, given): (Value, Value) = (
        serde_json::from_str(&written).expect("JSON"),
        serde_json::from_str(TERRAFORM).expect("JSON"),
    );
    assert_eq!(written, given);
}

#[test]
fn what_outboard_adds_is_in_an_object_of_its_own() {
    let mut record = provider();
    record.started = Some("boot:17".to_owned());
    record.owner = Some(0);
    record.secured = Some(Secured::AutoMtls);
    let text = record.to_json();
    assert!(
        text.contains(r#""Outboard":{"Owner":0,"Secured":"auto-mtls","Started":"boot:17"}"#),
        "{text}"
    );
    assert_eq!(ReattachConfig::from_json(&text), Ok(record));
    assert!(!text.contains('\n'), "it fits into a variable");
}

#[test]
fn what_older_programs_leave_out_and_newer_ones_add_does_no_harm() {
    let text = r#"{"Addr":{"Network":"tcp","String":"127.0.0.1:7","Zone":1},"Pid":0,"Later":[{}],
        "ProtocolVersion":null}"#;
    let read = ReattachConfig::from_json(text).expect("it is one");
    let expected = ReattachConfig::new(Protocol::NetRpc, Endpoint::Tcp("127.0.0.1:7".into()));
    assert_eq!(read, expected);
}

#[test]
fn the_version_is_that_of_the_record_or_the_lowest() {
    let offered = BTreeSet::from([5, 6]);
    let version = |version| {
        let mut record = provider();
        record.version = version;
        record.version_for(&offered)
    };
    assert_eq!(version(Some(6)), Ok(6));
    assert_eq!(version(None), Ok(5));
    assert_eq!(
        version(Some(0)),
        Ok(5),
        "Go's way to write that it is missing"
    );
    let error = version(Some(7)).expect_err("nobody offers it");
    assert_eq!((error.plugin, error.host), (7, vec![5, 6]));
    let mut record = provider();
    record.version = Some(0);
    assert_eq!(record.version_for(&BTreeSet::from([0, 1])), Ok(0));
    assert!(record.version_for(&BTreeSet::new()).is_err());
}

#[test]
fn each_mistake_is_named() {
    let address = r#""Addr":{"Network":"unix","String":"/x"}"#;
    for (text, expected) in [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("7", "the record is 7: expected an object"),
        ("{}", "has no Addr"),
        (r#"{"Addr":"/x"}"#, "Addr is \"/x\": expected an object"),
        (r#"{"Addr":{"String":"/x"}}"#, "has no Addr.Network"),
        (r#"{"Addr":{"Network":"unix"}}"#, "has no Addr.String"),
        (
            r#"{"Addr":{"Network":"unix","String":7}}"#,
            "Addr.String is 7: expected a text",
        ),
        (
            r#"{"Addr":{"Network":"pigeon","String":"x"}}"#,
            "Addr cannot be used",
        ),
        (
            r#"{"Addr":{"Network":"tcp","String":"x"}}"#,
            "Addr cannot be used",
        ),
        (
            &format!(r#"{{"Protocol":"stdio",{address}}}"#),
            "Protocol is",
        ),
        (
            &format!(r#"{{"Protocol":"soap",{address}}}"#),
            "Protocol is",
        ),
        (&format!(r#"{{"Protocol":1,{address}}}"#), "Protocol is 1"),
        (&format!(r#"{{"Pid":-1,{address}}}"#), "Pid is -1"),
        (&format!(r#"{{"Pid":1.5,{address}}}"#), "Pid is 1.5"),
        (
            &format!(r#"{{"Pid":4294967296,{address}}}"#),
            "Pid is 4294967296",
        ),
        (&format!(r#"{{"Test":"yes",{address}}}"#), "Test is \"yes\""),
        (
            &format!(r#"{{"ProtocolVersion":"6",{address}}}"#),
            "ProtocolVersion is \"6\"",
        ),
        (&format!(r#"{{"Outboard":7,{address}}}"#), "Outboard is 7"),
        (
            &format!(r#"{{"Outboard":{{"Owner":"me"}},{address}}}"#),
            "Outboard.Owner is \"me\"",
        ),
        (
            &format!(r#"{{"Outboard":{{"Secured":"so-so"}},{address}}}"#),
            "Outboard.Secured is \"so-so\"",
        ),
        (
            &format!(
                r#"{{"Outboard":{{"Certificate":"{}"}},{address}}}"#,
                "x".repeat(80)
            ),
            "Outboard.Certificate is \"xxxx",
        ),
    ] {
        let error = ReattachConfig::from_json(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{error:?}");
    }
    let error = ReattachConfig::map_from_json(r#"{"it":{}}"#).expect_err("no address");
    assert!(error.to_string().starts_with("of \"it\": "), "{error}");
    assert!(ReattachConfig::map_from_json("[]").is_err());
}

#[test]
fn what_a_record_quotes_is_short() {
    let long = format!(r#"{{"Protocol":"{}"}}"#, "x".repeat(10_000));
    let error = ReattachConfig::from_json(&long).expect_err("no protocol");
    assert!(error.to_string().len() < 300, "{error}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _either = ReattachConfig::from_json(&text);
        let _either = ReattachConfig::map_from_json(&text);
    }

    #[test]
    fn what_was_written_is_read(
        grpc: bool,
        version: Option<i64>,
        pid in proptest::option::of(1_u32..),
        test: bool,
        path in "/[ -~]{1,40}",
        started: Option<String>,
        id: Option<String>,
        owner: Option<u32>,
    ) {
        let protocol = if grpc { Protocol::Grpc } else { Protocol::NetRpc };
        let mut record = ReattachConfig::new(protocol, Endpoint::Unix(path.into()));
        (record.version, record.pid, record.test) = (version, pid, test);
        (record.started, record.id, record.owner) = (started, id, owner);
        prop_assert_eq!(ReattachConfig::from_json(&record.to_json()), Ok(record));
    }
}

#[cfg(feature = "serde")]
#[test]
fn records_are_part_of_documents_of_the_users_own() {
    let value = serde_json::to_value([provider()]).expect("JSON");
    assert_eq!(value[0]["Addr"]["Network"], "unix");
    let read: Vec<ReattachConfig> = serde_json::from_value(value).expect("they are some");
    assert_eq!(read, [provider()]);
    let wrong: Result<ReattachConfig, _> = serde_json::from_str("{}");
    let error = wrong.expect_err("no address").to_string();
    assert!(error.contains("has no Addr"), "{error}");
}
