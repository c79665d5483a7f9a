//! What a published key set costs: rendered anew, handed out again, and read back as that of a peer.
//!
//! Fixed input: one signing label of 2, 20 and 1,000 EC P-256 aliases without certificates.

use crate::fixture::{label, material, row};
use crate::harness::{Case, measure, ns, paired, print_row};
use claviger::catalogue::JwkAlg;
use claviger::jose::jwks::{Extent, document};
use claviger::ops::{PeerKeySet, PeerRules};
use claviger::profiles::jwks::Party;

/// Prints the table.
pub fn run() {
    println!(
        "a key set, ns of CPU time: over = rendered beyond its JSON alone, the median of pairs\n"
    );
    let head = ["rendered", "JSON alone", "over", "95 %", "handed out", "read by a peer"];
    print_row("aliases", &head.map(str::to_owned));
    for count in [2, 20, 1_000] {
        let folder = tempfile::tempdir().expect("a directory");
        let keys: Vec<_> = (0..count).map(|_| material(row("ES256"), None).1).collect();
        let label = label(folder.path(), &keys, &[row("ES256")], 16);
        let keys = label.keys().expect("mapped");
        let render = || document([&*keys], Extent::Everything, JwkAlg::Single);
        let value = render();
        let text = value.to_string();
        let keyring = claviger::Keyring::open_once(&folder.path().join("claviger.toml"));
        let handle = keyring.expect("opened").jwks(None, Party::Provider);
        let rules = PeerRules::verify(&["ES256"]).expect("a row");
        let rendered =
            paired(&mut Case::new(|| render().to_string()), &mut Case::new(|| value.to_string()));
        let times = measure(&mut [
            Case::new(|| handle.document()),
            Case::new(|| PeerKeySet::from_jwks(text.as_bytes(), &rules).expect("a set")),
        ]);
        let others: Vec<String> = times.iter().map(|time| ns(*time)).collect();
        print_row(&count.to_string(), &[&rendered.cells()[..], &others].concat());
    }
}
