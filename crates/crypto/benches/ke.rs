//! Key exchanges: what the responder computes (key pair and agreement, or encapsulation), and starting as initiator.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use crypto::{Rng, ke, table};
use wire::iana::Ke;

fn exchanges(c: &mut Criterion) {
    let mut rng = Rng::from_seed([1; 32]);
    let mut group = c.benchmark_group("ke");
    for method in Ke::NAMED.iter().copied().filter(|method| ke::available(*method).is_ok()) {
        let word = table::ke_keyword(method);
        let pending = ke::start(method, &mut rng).unwrap();
        group.bench_function(format!("{word}/start"), |b| b.iter(|| ke::start(method, &mut rng).unwrap()));
        group.bench_function(format!("{word}/respond"), |b| {
            b.iter(|| ke::respond(method, pending.public(), &mut rng).unwrap());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10)
        .warm_up_time(Duration::from_millis(50)).measurement_time(Duration::from_millis(300));
    targets = exchanges
}
criterion_main!(benches);
