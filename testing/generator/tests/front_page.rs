//! The programs on the front page of the documentation are compiled with `src/front/greeter.rs`,
//! which is what `outboard-build` makes of the interface that the page shows.
//!
//! After a change of that or of the generator, write the file anew with
//! `OUTBOARD_REGENERATE=1 cargo test -p outboard-generator --test front_page`.

use std::path::Path;

#[test]
fn the_code_generated_for_the_front_page_is_up_to_date() {
    let front = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/front");
    let out = tempfile::tempdir().expect("a directory");
    outboard_build::configure()
        .out_dir(out.path())
        .compile(&[front.join("greeter.proto")], &[&front])
        .expect("the interface compiles");
    for name in ["greeter.rs", "greeter.descriptors.bin"] {
        let generated = std::fs::read(out.path().join(name)).expect("generated");
        let kept = front.join(name);
        if std::env::var_os("OUTBOARD_REGENERATE").is_some() {
            std::fs::write(&kept, &generated).expect("the tree is writable");
        }
        let present = std::fs::read(&kept).unwrap_or_default();
        assert!(
            present == generated,
            "{} is out of date; see the top of this test",
            kept.display()
        );
    }
    let others = std::fs::read_dir(out.path()).expect("readable").count();
    assert_eq!(others, 2, "all that was generated is kept");
}
