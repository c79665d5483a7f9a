//! What became of audit lines, read when it is asked for.

use std::fmt;
use std::sync::Weak;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::service::Audit;

/// Reads them at each scrape, as long as the service lives.
#[derive(Debug)]
pub(super) struct Figures(Weak<Audit>);

impl Figures {
    pub(super) const fn new(audit: Weak<Audit>) -> Self {
        Self(audit)
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(audit) = self.0.upgrade() else { return Ok(()) };
        let help = "Audit lines: those that were written, those that could not be";
        let mut lines =
            encoder.encode_descriptor("audit_lines", help, None, MetricType::Counter)?;
        for (outcome, count) in [("lost", audit.lost()), ("written", audit.written())] {
            let names = [("outcome", outcome)];
            ConstCounter::new(count).encode(lines.encode_family(&names)?)?;
        }
        let help = "1 if the last audit lines could not be written";
        let failing =
            encoder.encode_descriptor("audit_is_failing", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(audit.is_failing())).encode(failing)
    }
}
