//! What an IKE_SA with one CHILD_SA leaves in its responder's memory: bounds that a regression meets.
#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use testkit::fleet::Fleet;

/// Set up before anything is counted, so that tables have their first room.
const BEFORE: u32 = 50;
/// Set up and counted.
const COUNTED: i64 = 250;

#[test]
fn an_established_ike_sa_is_small() {
    let mut fleet = Fleet::new(|_| {}, |_| {});
    for _ in 0..BEFORE {
        let _client = fleet.join(&mut |step| step());
    }
    let (mut bytes, mut blocks) = (0, 0);
    for _ in 0..COUNTED {
        let _client = fleet.join(&mut |step| {
            let info = allocation_counter::measure(step);
            bytes += info.bytes_current;
            blocks += info.count_current;
        });
    }
    let (bytes, blocks) = (bytes / COUNTED, blocks / COUNTED);
    assert!(bytes <= 2_100, "an IKE_SA takes {bytes} bytes in {blocks} blocks");
    assert!(blocks <= 16, "an IKE_SA takes {blocks} blocks of {bytes} bytes together");
}
