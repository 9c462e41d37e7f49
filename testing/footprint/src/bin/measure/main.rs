//! Measures the greeter plugin in its sizes: builds it, has a host call it once, and looks at the
//! idle process. Prints a table for the README.
//!
//! ```sh
//! cargo run --package outboard-footprint --features measure --bin measure             # all
//! cargo run --package outboard-footprint --features measure --bin measure -- --check  # limits
//! ```
//!
//! `--check` builds the smallest variant alone and fails if it exceeds what it is meant to fit in.

#[cfg(target_os = "linux")]
mod build;
#[cfg(target_os = "linux")]
mod idle;

#[cfg(target_os = "linux")]
mod run {
    use std::error::Error;

    use crate::build::{self, Variant};
    use crate::idle::{self, Idle};

    /// What the smallest variant must stay under, in bytes: one and a quarter MiB of program.
    const MAX_SIZE: u64 = 1280 * 1024;
    /// And in KiB: three MiB of resident memory.
    const MAX_RESIDENT: u64 = 3 * 1024;
    /// And: the program's own, and the one that captures prints and watches for the host's death.
    const MAX_THREADS: usize = 2;

    /// A variant, built and observed.
    struct Measured {
        variant: Variant,
        size: u64,
        idle: Idle,
        dependencies: String,
    }

    async fn measure(variant: Variant) -> Result<Measured, Box<dyn Error>> {
        eprintln!("building {}", variant.name());
        let program = variant.build()?;
        Ok(Measured {
            size: std::fs::metadata(&program)?.len(),
            idle: idle::observe(&program, variant.over_stdio()).await?,
            dependencies: variant.dependencies()?,
            variant,
        })
    }

    pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
        if std::env::args().any(|arg| arg == "--check") {
            return check(&measure(Variant::Smallest).await?);
        }
        println!("{}\n", build::machine()?);
        println!(
            "| Greeter plugin | program, KiB | resident, KiB | of it private, KiB | threads | descriptors | dependencies |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|");
        for variant in Variant::ALL {
            let Measured {
                variant,
                size,
                idle,
                dependencies,
            } = measure(variant).await?;
            println!(
                "| {} | {} | {} | {} | {} | {} | {dependencies} |",
                variant.name(),
                size.div_ceil(1024),
                idle.resident,
                idle.private,
                idle.threads.len(),
                idle.descriptors,
            );
            eprintln!("threads: {}", idle.threads.join(", "));
        }
        Ok(())
    }

    fn check(measured: &Measured) -> Result<(), Box<dyn Error>> {
        let (size, idle) = (measured.size, &measured.idle);
        println!(
            "{}: {size} bytes, {} KiB resident, threads: {}",
            measured.variant.name(),
            idle.resident,
            idle.threads.join(", ")
        );
        let mut over = Vec::new();
        if size > MAX_SIZE {
            over.push(format!("the program has {size} bytes, limit {MAX_SIZE}"));
        }
        if idle.resident > MAX_RESIDENT {
            let resident = idle.resident;
            over.push(format!("{resident} KiB are resident, limit {MAX_RESIDENT}"));
        }
        if idle.threads.len() > MAX_THREADS {
            let threads = idle.threads.len();
            over.push(format!("{threads} threads run, limit {MAX_THREADS}"));
        }
        if over.is_empty() {
            Ok(())
        } else {
            Err(over.join("; ").into())
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run::main().await
}

/// What a process holds is read from `/proc`.
#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this measures on Linux only");
    std::process::exit(2);
}
