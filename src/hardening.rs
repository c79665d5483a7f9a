//! What the program asks of the kernel before it reads a secret: no core files, no reading of its memory by
//! others of the same user, no swap. Each is best effort; what is refused comes back as a note for `-v`.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Applies all of it; the notes say what the system refused.
pub(crate) fn apply() -> Vec<String> {
    [forbid_core_files(), forbid_inspection(), lock_memory()]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// A core file would hold keys and passwords.
fn forbid_core_files() -> Result<(), String> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| format!("core files are not switched off: {error}"))
}

/// Also stops cores that go to a program by `core_pattern`, which the limit does not; and makes
/// `/proc/PID/mem` and `/proc/PID/environ` root's (prctl(2), PR_SET_DUMPABLE).
fn forbid_inspection() -> Result<(), String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("processes of the same user may read its memory: {error}"))
}

/// Keeps keys out of swap, page by page as memory is used. Only without a limit on locked memory: under one
/// the first allocation beyond it would fail.
fn lock_memory() -> Result<(), String> {
    let unlimited = Rlimit { current: None, maximum: None };
    let limited = getrlimit(Resource::Memlock).current;
    if let Some(bytes) = limited
        && setrlimit(Resource::Memlock, unlimited).is_err()
    {
        return Err(format!(
            "memory is not locked and may be swapped: the limit is {} KiB (ulimit -l unlimited)",
            bytes / 1024
        ));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error| format!("memory is not locked and may be swapped: {error}"))
}
