//! The seccomp filter of a policy: a program of the kernel's for each system call.

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long};
use outboard_core::rt::FilterStep;

use super::{Network, Policy};

/// What the kernel calls this machine, if the filter knows it: `AUDIT_ARCH_…` of linux/audit.h.
const ARCH: Option<u32> = if cfg!(target_arch = "x86_64") && cfg!(target_pointer_width = "64") {
    Some(0xc000_003e)
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some(0xc000_00b7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else {
    None
};

/// Places in `struct seccomp_data` of linux/seccomp.h; the lower half of the first argument is the first
/// one where the byte order is little.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

/// Numbers from here on are those of x32, another way into the same kernel.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Steps towards a filter.
struct Steps(Vec<FilterStep>);

impl Steps {
    fn load(&mut self, at: u32) {
        self.push(BPF_LD | BPF_W | BPF_ABS, 0, 0, at);
    }

    /// Goes on with the next step if a comparison holds, and else skips some.
    fn unless(&mut self, comparison: u32, value: u32, skip: u8) {
        self.push(BPF_JMP | comparison | BPF_K, 0, skip, value);
    }

    fn end(&mut self, outcome: u32) {
        self.push(BPF_RET | BPF_K, 0, 0, outcome);
    }

    /// This call fails with an error.
    fn refuse(&mut self, call: c_long, errno: i32) {
        self.unless(BPF_JEQ, number(call), 1);
        self.end(failing(errno));
    }

    /// This call fails with an error unless its first argument passes a comparison.
    fn refuse_unless(&mut self, call: c_long, comparison: u32, value: u32, errno: i32) {
        self.unless(BPF_JEQ, number(call), 4);
        self.load(FIRST_ARGUMENT);
        self.unless(comparison, value, 1);
        self.end(libc::SECCOMP_RET_ALLOW);
        self.end(failing(errno));
    }

    fn push(&mut self, code: u32, jump_true: u8, jump_false: u8, value: u32) {
        // All codes have 16 bits.
        let code = (code & 0xffff) as u16;
        let step = FilterStep::new(code, jump_true, jump_false, value);
        self.0.push(step);
    }
}

fn number(call: c_long) -> u32 {
    // Numbers of calls have few bits.
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn failing(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.unsigned_abs() & libc::SECCOMP_RET_DATA
}

/// The filter that a policy needs, empty if it needs none. `None` if it needs one and there is none for
/// this machine.
pub(super) fn of(policy: &Policy) -> Option<Vec<FilterStep>> {
    let no_network = policy.network != Network::Any;
    if !no_network && !policy.no_processes {
        return Some(Vec::new());
    }
    let mut steps = Steps(Vec::new());
    // Whoever enters the kernel as another machine's program has other numbers for all of it.
    steps.load(ARCHITECTURE);
    steps.push(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH?);
    steps.end(libc::SECCOMP_RET_KILL_PROCESS);
    steps.load(NUMBER);
    #[cfg(target_arch = "x86_64")]
    {
        steps.unless(BPF_JGE, X32, 1);
        steps.end(failing(libc::ENOSYS));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _only_there = BPF_JGE;
    if no_network {
        let unix = libc::AF_UNIX.unsigned_abs();
        if policy.network == Network::None {
            steps.refuse(libc::SYS_socket, libc::EACCES);
        } else {
            steps.refuse_unless(libc::SYS_socket, BPF_JEQ, unix, libc::EACCES);
        }
        // Two that are connected with each other reach nobody else, if they are unix sockets.
        steps.refuse_unless(libc::SYS_socketpair, BPF_JEQ, unix, libc::EACCES);
        // Makes sockets by a queue in memory.
        steps.refuse(libc::SYS_io_uring_setup, libc::ENOSYS);
    }
    if policy.no_processes {
        #[cfg(target_arch = "x86_64")]
        for call in [libc::SYS_fork, libc::SYS_vfork] {
            steps.refuse(call, libc::EPERM);
        }
        let thread = libc::CLONE_THREAD.unsigned_abs();
        steps.refuse_unless(libc::SYS_clone, BPF_JSET, thread, libc::EPERM);
        // Its flags are in memory, where a filter does not look: without it, libraries take the former.
        steps.refuse(libc::SYS_clone3, libc::ENOSYS);
    }
    steps.end(libc::SECCOMP_RET_ALLOW);
    Some(steps.0)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Runs a filter as the kernel does.
    fn outcome(steps: &[FilterStep], arch: u32, call: c_long, argument: u64) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = steps[at];
            at += 1;
            let code = u32::from(step.code);
            let jump = match code {
                _ if code == BPF_LD | BPF_W | BPF_ABS => {
                    value = match step.value {
                        NUMBER => number(call),
                        ARCHITECTURE => arch,
                        FIRST_ARGUMENT => argument as u32,
                        other => panic!("nothing is to be read at {other}"),
                    };
                    continue;
                }
                _ if code == BPF_RET | BPF_K => return step.value,
                _ if code == BPF_JMP | BPF_JEQ | BPF_K => value == step.value,
                _ if code == BPF_JMP | BPF_JGE | BPF_K => value >= step.value,
                _ if code == BPF_JMP | BPF_JSET | BPF_K => value & step.value != 0,
                _ => panic!("unknown code {code:#x}"),
            };
            at += usize::from(if jump {
                step.jump_true
            } else {
                step.jump_false
            });
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn tried(policy: &Policy, call: c_long, argument: i32) -> u32 {
        let steps = of(policy).expect("this machine is known");
        let arch = ARCH.expect("it is known");
        outcome(&steps, arch, call, u64::from(argument.unsigned_abs()))
    }

    #[test]
    fn a_policy_that_needs_none_has_none() {
        assert_eq!(of(&Policy::new().memory(1)), Some(Vec::new()));
    }

    #[test]
    fn sockets_of_networks_are_refused() {
        for network in [Network::Unix, Network::OwnSocket, Network::None] {
            let policy = Policy::new().network(network);
            let socket = |family| tried(&policy, libc::SYS_socket, family);
            let unix = match network {
                Network::None => failing(libc::EACCES),
                _ => ALLOW,
            };
            assert_eq!(socket(libc::AF_UNIX), unix);
            for family in 0..64 {
                if family != libc::AF_UNIX {
                    assert_eq!(socket(family), failing(libc::EACCES), "{family}");
                }
            }
            let ring = tried(&policy, libc::SYS_io_uring_setup, 0);
            assert_eq!(ring, failing(libc::ENOSYS));
            let pair = |family| tried(&policy, libc::SYS_socketpair, family);
            assert_eq!(pair(libc::AF_UNIX), ALLOW);
            assert_eq!(pair(libc::AF_TIPC), failing(libc::EACCES));
            for call in [libc::SYS_read, libc::SYS_clone] {
                assert_eq!(tried(&policy, call, 0), ALLOW);
            }
        }
    }

    #[test]
    fn processes_are_refused_and_threads_are_not() {
        let policy = Policy::new().no_processes();
        for call in [libc::SYS_fork, libc::SYS_vfork, libc::SYS_clone] {
            assert_eq!(tried(&policy, call, 0), failing(libc::EPERM));
        }
        let thread = libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND;
        assert_eq!(tried(&policy, libc::SYS_clone, thread), ALLOW);
        let clone3 = tried(&policy, libc::SYS_clone3, 0);
        assert_eq!(clone3, failing(libc::ENOSYS));
        assert_eq!(tried(&policy, libc::SYS_socket, libc::AF_INET), ALLOW);
        assert_eq!(tried(&policy, libc::SYS_execve, 0), ALLOW);
    }

    #[test]
    fn no_other_way_into_the_kernel_is_open() {
        let steps = of(&Policy::new().no_processes().network(Network::Unix)).expect("known");
        const I386: u32 = 0x4000_0003;
        let killed = libc::SECCOMP_RET_KILL_PROCESS;
        assert_eq!(outcome(&steps, I386, libc::SYS_read, 0), killed);
        let arch = ARCH.expect("it is known");
        let x32 = libc::SYS_socket | c_long::from(X32);
        assert_eq!(outcome(&steps, arch, x32, 1), failing(libc::ENOSYS));
    }
}
