//! Which of a plugin's events its host gets unless somebody says otherwise.

use outboard_core::hclog::Level;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The variable with the usual directives, such as `info,my_library=trace`.
const DIRECTIVES: &str = "RUST_LOG";

/// What `RUST_LOG` says, if it says something that can be read; else everything from INFO on, and
/// all of the program's own crate and of outboard. Libraries log each frame and each poll at DEBUG
/// and below.
///
/// Where the host wants a level, what either of the two lets through counts, up to that level.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    usual: Targets,
    directives: Option<Targets>,
}

impl Filter {
    pub(super) fn of_environment() -> Self {
        let program = std::env::current_exe().ok();
        let program = program
            .as_deref()
            .and_then(|path| path.file_stem()?.to_str());
        let directives = std::env::var(DIRECTIVES).ok();
        Self::new(directives.as_deref(), program)
    }

    fn new(directives: Option<&str>, program: Option<&str>) -> Self {
        let directives = directives.filter(|text| !text.trim().is_empty());
        let mut usual = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("outboard", LevelFilter::TRACE);
        if let Some(program) = program {
            // As cargo names the crate of a program.
            usual = usual.with_target(program.replace('-', "_"), LevelFilter::TRACE);
        }
        Self {
            usual,
            directives: directives.and_then(|text| text.parse().ok()),
        }
    }

    /// The same as directives, where the host wants this level.
    pub(super) fn targets(&self, wanted: Option<Level>) -> Targets {
        let Some(wanted) = wanted else {
            return self.directives.as_ref().unwrap_or(&self.usual).clone();
        };
        let limit = up_to(wanted);
        // The longest name that begins a target decides, and each is one of these.
        let both = [Some(&self.usual), self.directives.as_ref()];
        let named = both.into_iter().flatten().flatten();
        let mut targets = Targets::new();
        for (name, _) in named {
            targets = targets.with_target(name, self.most(name).min(limit));
        }
        let defaults = both
            .into_iter()
            .flatten()
            .filter_map(Targets::default_level);
        let most = defaults.max().unwrap_or(LevelFilter::OFF);
        targets.with_default(most.min(limit))
    }

    pub(super) fn lets_through(&self, metadata: &Metadata<'_>, wanted: Option<Level>) -> bool {
        self.enables(metadata.target(), *metadata.level(), wanted)
    }

    fn enables(&self, target: &str, level: tracing::Level, wanted: Option<Level>) -> bool {
        let usually = || self.usual.would_enable(target, &level);
        match (wanted, &self.directives) {
            (None, None) => usually(),
            (None, Some(directives)) => directives.would_enable(target, &level),
            (Some(wanted), directives) => {
                let directed = |directives: &Targets| directives.would_enable(target, &level);
                level <= up_to(wanted) && (usually() || directives.as_ref().is_some_and(directed))
            }
        }
    }

    /// How much either lets through of this target.
    fn most(&self, target: &str) -> LevelFilter {
        let levels = [
            tracing::Level::TRACE,
            tracing::Level::DEBUG,
            tracing::Level::INFO,
            tracing::Level::WARN,
            tracing::Level::ERROR,
        ];
        let both = [Some(&self.usual), self.directives.as_ref()];
        let enabled = |level: &tracing::Level| {
            let mut each = both.into_iter().flatten();
            each.any(|targets| targets.would_enable(target, level))
        };
        let most = levels.into_iter().find(enabled);
        most.map_or(LevelFilter::OFF, LevelFilter::from_level)
    }
}

/// What is as important as this, or more.
fn up_to(level: Level) -> LevelFilter {
    match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracing::Level as Logged;

    use super::*;

    fn passes(filter: &Filter, target: &str, level: Logged) -> bool {
        filter.enables(target, level, None)
    }

    #[test]
    fn the_program_is_heard_whole_and_its_libraries_from_info_on() {
        for directives in [None, Some(""), Some("no=such=level")] {
            let filter = Filter::new(directives, Some("my-plugin"));
            assert!(passes(&filter, "my_plugin::shop", Logged::TRACE));
            assert!(passes(&filter, "outboard", Logged::TRACE));
            assert!(passes(&filter, "h2::codec", Logged::INFO));
            assert!(!passes(&filter, "h2::codec", Logged::DEBUG));
            assert!(!passes(&filter, "anything", Logged::DEBUG));
        }
    }

    #[test]
    fn the_usual_directives_decide() {
        let filter = Filter::new(Some("warn,h2=debug"), Some("my-plugin"));
        assert!(passes(&filter, "h2::codec", Logged::DEBUG));
        assert!(!passes(&filter, "h2::codec", Logged::TRACE));
        assert!(passes(&filter, "my_plugin", Logged::WARN));
        assert!(!passes(&filter, "my_plugin", Logged::INFO));
    }

    #[test]
    fn what_the_host_wants_is_the_limit_and_opens_the_program_up_to_it() {
        let passes = |directives, target: &str, level| {
            let filter = Filter::new(directives, Some("my-plugin"));
            filter.enables(target, level, Some(Level::Debug))
        };
        for directives in [None, Some("warn")] {
            assert!(passes(directives, "my_plugin", Logged::DEBUG));
            assert!(!passes(directives, "my_plugin", Logged::TRACE));
            assert!(passes(directives, "h2::codec", Logged::INFO));
            assert!(!passes(directives, "h2::codec", Logged::DEBUG));
        }
        assert!(passes(Some("h2=trace"), "h2::codec", Logged::DEBUG));
        assert!(!passes(Some("h2=trace"), "h2::codec", Logged::TRACE));
        let quiet = Filter::new(Some("trace"), Some("my-plugin"));
        assert!(!quiet.enables("my_plugin", Logged::WARN, Some(Level::Error)));
        assert!(quiet.enables("my_plugin", Logged::ERROR, Some(Level::Error)));
    }

    fn any_wanted() -> impl Strategy<Value = Option<Level>> {
        prop::option::of(prop::sample::select(Level::ALL.to_vec()))
    }

    proptest! {
        #[test]
        fn both_ways_to_ask_agree(
            directives in prop::option::of("(a|ab|abc|my_plugin|outboard)=(trace|debug|warn|off)(,(ab|my_plugin::x)=info)?(,(error|debug))?"),
            target in "(a|b|c|my_plugin(::x)?|outboard(::y)?){1,3}",
            wanted in any_wanted(),
        ) {
            let filter = Filter::new(directives.as_deref(), Some("my-plugin"));
            let targets = filter.targets(wanted);
            for level in [Logged::TRACE, Logged::DEBUG, Logged::INFO, Logged::WARN, Logged::ERROR] {
                prop_assert_eq!(
                    targets.would_enable(&target, &level),
                    filter.enables(&target, level, wanted),
                    "{} at {}", target, level
                );
            }
        }
    }
}
