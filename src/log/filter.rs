//! Which of a plugin's events its host gets unless somebody says otherwise.

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The variable with the usual directives, such as `info,my_library=trace`.
const DIRECTIVES: &str = "RUST_LOG";

/// What `RUST_LOG` says, if it says something that can be read; else everything from INFO on, and
/// all of the program's own crate and of outboard. Libraries log each frame and each poll at DEBUG
/// and below.
#[derive(Clone, Debug)]
pub(super) struct Filter(Targets);

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
        if let Some(targets) = directives.and_then(|text| text.parse().ok()) {
            return Self(targets);
        }
        let mut targets = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("outboard", LevelFilter::TRACE);
        if let Some(program) = program {
            // As cargo names the crate of a program.
            targets = targets.with_target(program.replace('-', "_"), LevelFilter::TRACE);
        }
        Self(targets)
    }

    pub(super) fn targets(&self) -> Targets {
        self.0.clone()
    }

    pub(super) fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        self.0.would_enable(metadata.target(), metadata.level())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn passes(filter: &Filter, target: &str, level: Level) -> bool {
        filter.0.would_enable(target, &level)
    }

    #[test]
    fn the_program_is_heard_whole_and_its_libraries_from_info_on() {
        for directives in [None, Some(""), Some("no=such=level")] {
            let filter = Filter::new(directives, Some("my-plugin"));
            assert!(passes(&filter, "my_plugin::shop", Level::TRACE));
            assert!(passes(&filter, "outboard", Level::TRACE));
            assert!(passes(&filter, "h2::codec", Level::INFO));
            assert!(!passes(&filter, "h2::codec", Level::DEBUG));
            assert!(!passes(&filter, "anything", Level::DEBUG));
        }
    }

    #[test]
    fn the_usual_directives_decide() {
        let filter = Filter::new(Some("warn,h2=debug"), Some("my-plugin"));
        assert!(passes(&filter, "h2::codec", Level::DEBUG));
        assert!(!passes(&filter, "h2::codec", Level::TRACE));
        assert!(passes(&filter, "my_plugin", Level::WARN));
        assert!(!passes(&filter, "my_plugin", Level::INFO));
    }
}
