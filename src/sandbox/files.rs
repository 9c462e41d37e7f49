//! The Landlock ruleset of a policy: which files may be used, and which names of sockets.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

use super::{FileAccess, FileRule, Lack, Network, Policy, SandboxError};

/// The newest ABI whose rights to files are taken: those of later ones are not known to leave a plugin
/// usable.
const NEWEST: ABI = ABI::V8;

/// With which names of sockets in the abstract namespace can be forbidden, and files of sockets.
const SCOPES: ABI = ABI::V6;
const SOCKET_FILES: ABI = ABI::V9;

/// What the running kernel's Landlock can do; [`ABI::Unsupported`] if there is none, or it was turned off.
pub(super) fn abi() -> ABI {
    let known = [
        ABI::V9,
        ABI::V8,
        ABI::V7,
        ABI::V6,
        ABI::V5,
        ABI::V4,
        ABI::V3,
        ABI::V2,
        ABI::V1,
    ];
    // The crate says what the kernel can do only by refusing what it cannot, all or nothing.
    let works = |abi: &ABI| {
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(*abi));
        let ruleset = match ruleset {
            Ok(ruleset) if *abi >= SCOPES => ruleset.scope(Scope::AbstractUnixSocket),
            other => other,
        };
        ruleset.and_then(Ruleset::create).is_ok()
    };
    known.into_iter().find(works).unwrap_or(ABI::Unsupported)
}

/// What of a policy a kernel with this ABI does not carry out.
pub(super) fn lacks(policy: &Policy, abi: ABI) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if policy.files.is_some() {
        match abi {
            ABI::Unsupported => lacks.push(Lack::Files),
            _ if abi < ABI::V3 => lacks.extend([Lack::Truncation, Lack::DeviceControl]),
            _ if abi < ABI::V5 => lacks.push(Lack::DeviceControl),
            _ => {}
        }
    }
    if matches!(policy.network, Network::Unix | Network::OwnSocket) && abi < SCOPES {
        lacks.push(Lack::AbstractSockets);
    }
    if policy.network == Network::OwnSocket && abi < SOCKET_FILES {
        lacks.push(Lack::OtherSockets);
    }
    lacks
}

/// What a launch needs, whatever a policy allows.
pub(super) struct Needed {
    /// What is executed. What of it does not exist is left out: that is told by the launch.
    pub(super) programs: Vec<PathBuf>,
    /// Where its sockets are.
    pub(super) socket_dir: Option<PathBuf>,
}

/// The ruleset of a policy, as far as a kernel with this ABI carries it out. None if the policy needs none.
pub(super) fn ruleset(
    policy: &Policy,
    needed: &Needed,
    abi: ABI,
) -> Result<Option<OwnedFd>, SandboxError> {
    let refused = |error: RulesetError| SandboxError::Refused {
        cause: error.to_string(),
    };
    let sockets = match policy.network {
        Network::OwnSocket if abi >= SOCKET_FILES => AccessFs::ResolveUnix.into(),
        _ => BitFlags::EMPTY,
    };
    let rights = Rights::of(abi);
    let scoped = abi >= SCOPES && matches!(policy.network, Network::Unix | Network::OwnSocket);
    let handled = match &policy.files {
        Some(_) => rights.all | sockets,
        None => sockets,
    };
    if handled.is_empty() && !scoped {
        return Ok(None);
    }
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if !handled.is_empty() {
        ruleset = ruleset.handle_access(handled).map_err(refused)?;
    }
    if scoped {
        ruleset = ruleset.scope(Scope::AbstractUnixSocket).map_err(refused)?;
    }
    let mut ruleset = ruleset.create().map_err(refused)?;
    for (path, access) in allowed(policy, needed, &rights, sockets) {
        let rule = beneath(&path, access)?;
        ruleset = ruleset.add_rule(rule).map_err(refused)?;
    }
    Ok(ruleset.into())
}

/// Rights to files by what they are for.
struct Rights {
    all: BitFlags<AccessFs>,
    read: BitFlags<AccessFs>,
    execute: BitFlags<AccessFs>,
    write: BitFlags<AccessFs>,
}

impl Rights {
    fn of(abi: ABI) -> Self {
        let all = AccessFs::from_all(abi.min(NEWEST));
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        Self {
            all,
            read,
            execute: read | AccessFs::Execute,
            write: all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock),
        }
    }
}

/// All that is allowed; of what is named more than once, all of it.
fn allowed(
    policy: &Policy,
    needed: &Needed,
    rights: &Rights,
    sockets: BitFlags<AccessFs>,
) -> BTreeMap<PathBuf, BitFlags<AccessFs>> {
    let mut allowed = BTreeMap::new();
    let mut allow = |path: &Path, access| {
        *allowed.entry(path.to_owned()).or_insert(BitFlags::EMPTY) |= access;
    };
    if let Some(rules) = &policy.files {
        for FileRule { path, access } in rules {
            let access = match access {
                FileAccess::Read => rights.read,
                FileAccess::Execute => rights.execute,
                FileAccess::Write => rights.write,
            };
            allow(path, access);
        }
        for program in needed.programs.iter().filter(|path| path.exists()) {
            allow(program, rights.execute);
        }
    }
    if let Some(dir) = &needed.socket_dir {
        let files = match &policy.files {
            Some(_) => rights.write,
            None => BitFlags::EMPTY,
        };
        let access = files | sockets;
        if !access.is_empty() {
            allow(dir, access);
        }
    }
    allowed
}

fn beneath(path: &Path, access: BitFlags<AccessFs>) -> Result<PathBeneath<PathFd>, SandboxError> {
    let unusable = |cause: String| SandboxError::Path {
        path: path.to_owned(),
        cause,
    };
    let file = PathFd::new(path).map_err(|error| unusable(error.to_string()))?;
    let meta = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?;
    // Of what is no directory the rights to what is in one mean nothing, and are refused.
    let access = if meta.is_dir() {
        access
    } else {
        access & AccessFs::from_file(ABI::V9)
    };
    Ok(PathBeneath::new(file, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_lacks_is_told() {
        let files = Policy::new().files([]);
        assert_eq!(lacks(&files, ABI::Unsupported), [Lack::Files]);
        let old = [Lack::Truncation, Lack::DeviceControl];
        assert_eq!(lacks(&files, ABI::V1), old);
        assert_eq!(lacks(&files, ABI::V4), [Lack::DeviceControl]);
        assert_eq!(lacks(&files, ABI::V5), []);
        let unix = Policy::new().network(Network::Unix);
        assert_eq!(lacks(&unix, ABI::V5), [Lack::AbstractSockets]);
        assert_eq!(lacks(&unix, ABI::V6), []);
        let own = Policy::new().network(Network::OwnSocket);
        assert_eq!(lacks(&own, ABI::V8), [Lack::OtherSockets]);
        assert_eq!(lacks(&own, ABI::V9), []);
        for policy in [Policy::new(), Policy::new().network(Network::None)] {
            assert_eq!(lacks(&policy, ABI::Unsupported), []);
        }
    }

    #[test]
    fn what_a_launch_needs_is_allowed_beside_the_rules() {
        let rights = Rights::of(ABI::V7);
        let needed = Needed {
            programs: vec!["/bin/sh".into(), "/no/such/program".into()],
            socket_dir: Some("/run/sockets".into()),
        };
        let rules = [FileRule::read("/bin/sh"), FileRule::write("/tmp")];
        let policy = Policy::new().files(rules);
        let allowed = allowed(&policy, &needed, &rights, BitFlags::EMPTY);
        let of = |path: &str| allowed.get(Path::new(path)).copied();
        assert_eq!(of("/bin/sh"), Some(rights.execute));
        assert_eq!(of("/tmp"), Some(rights.write));
        assert_eq!(of("/run/sockets"), Some(rights.write));
        assert_eq!(of("/no/such/program"), None);
        assert!(!rights.write.contains(AccessFs::Execute));
        assert!(!rights.read.contains(AccessFs::WriteFile));
        // Where nothing is said of files, nothing is to be allowed.
        let silent = super::allowed(&Policy::new(), &needed, &rights, BitFlags::EMPTY);
        assert!(silent.is_empty());
    }

    #[test]
    fn a_rule_for_what_does_not_exist_is_refused_by_name() {
        let rule = beneath(Path::new("/no/such/file"), AccessFs::ReadFile.into());
        let Err(error) = rule else {
            panic!("it does not exist");
        };
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
