//! What several subjects share: the vectors of other people's software, and hex.

use std::path::PathBuf;

/// The folder of vectors under `../shared/vectors` or `$CLAVIGER_VECTORS`. Absent: one line says so and
/// the caller returns; under CI absence fails.
pub(crate) fn vectors(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CLAVIGER_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "vectors/{folder} is absent under CI");
    println!("vectors/{folder} is absent: set CLAVIGER_VECTORS to run these cases");
    None
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
