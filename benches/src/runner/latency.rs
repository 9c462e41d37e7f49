//! Measuring how long things take.

use serde_json::Value;

use crate::Failure;
use crate::orders::Order;

use super::figures::Figure;
use super::plan::{Outcome, Plan};
use super::proc::{Placement, Usage};
use super::session::number;
use super::stats::{histogram, median};
use super::subject::Subject;

/// Bytes of the payload of calls whose latency is measured.
const SMALL: usize = 16;

impl Plan {
    pub(super) fn dispense(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut session = self.session(subject, placement)?;
        // The first launch finds nothing in the caches.
        session.order(Order::Dispense(1))?;
        let Some(answer) = session.order(Order::Dispense(self.amounts.launches))? else {
            return Ok(());
        };
        let launches = answer.get("launches").and_then(Value::as_array);
        let launches = launches.ok_or("no launches")?;
        let mut totals = Vec::new();
        let mut endings = Vec::new();
        let mut phases: Vec<(String, Vec<f64>)> = Vec::new();
        for launch in launches {
            totals.push(number(launch, "total")? / 1e6);
            endings.push(number(launch, "shutdown")? / 1e6);
            let parts = launch.get("phases").and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                let (Some(name), Some(ns)) = (
                    part.get(0).and_then(Value::as_str),
                    part.get(1).and_then(Value::as_f64),
                ) else {
                    return Err(format!("a strange phase: {part}").into());
                };
                match phases.iter_mut().find(|(known, _)| known == name) {
                    Some((_, values)) => values.push(ns / 1e6),
                    None => phases.push((name.to_owned(), vec![ns / 1e6])),
                }
            }
        }
        totals.sort_by(f64::total_cmp);
        let mut add = |figure, value: Option<f64>| {
            if let Some(value) = value {
                outcome
                    .results
                    .add(figure, subject.to_string(), round, value);
            }
        };
        add(Figure::dispense("p50", placement), median(&totals));
        add(Figure::dispense("best", placement), totals.first().copied());
        for (name, values) in phases {
            add(Figure::phase(&name, placement), median(&values));
        }
        add(Figure::shutdown(placement), median(&endings));
        Ok(())
    }

    pub(super) fn dial(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut session = self.session(subject, placement)?;
        session.launch()?;
        session.order(Order::Dial(self.amounts.dials.div_ceil(10)))?;
        let Some(answer) = session.order(Order::Dial(self.amounts.dials))? else {
            return Ok(());
        };
        let samples = histogram(answer.get("samples").unwrap_or(&Value::Null))?;
        for (quantile, at) in [("p50", 0.5), ("p99", 0.99)] {
            let us = samples.value_at_quantile(at) as f64 / 1e3;
            let figure = Figure::dial(quantile, placement);
            outcome.results.add(figure, subject.to_string(), round, us);
        }
        Ok(())
    }

    pub(super) fn unary(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut session = self.session(subject, placement)?;
        let pids = session.launch()?;
        placement.settle(pids)?;
        let calls = |count| Order::Unary { size: SMALL, count };
        session.order(calls(self.amounts.warm_up))?;
        let before = [Usage::of(pids[0])?, Usage::of(pids[1])?];
        let Some(answer) = session.order(calls(self.amounts.calls))? else {
            return Ok(());
        };
        let after = [Usage::of(pids[0])?, Usage::of(pids[1])?];
        let samples = histogram(answer.get("samples").unwrap_or(&Value::Null))?;
        let name = subject.to_string();
        for (quantile, at) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let us = samples.value_at_quantile(at) as f64 / 1e3;
            let figure = Figure::unary(quantile, placement);
            outcome.results.add(figure, &name, round, us);
        }
        let mean = number(&answer, "ns")? / 1e3 / self.amounts.calls as f64;
        outcome
            .results
            .add(Figure::unary("mean", placement), &name, round, mean);
        if placement != Placement::OneCore {
            return Ok(());
        }

        let per_call = |total: u64| total as f64 / self.amounts.calls as f64;
        let [host, plugin] = [after[0].since(before[0]), after[1].since(before[1])];
        let switches = Figure::per_call("context switches, both sides", "");
        let cpu = |side| Figure::per_call(side, "us");
        let results = &mut outcome.results;
        results.add(
            switches,
            &name,
            round,
            per_call(host.switches + plugin.switches),
        );
        results.add(
            cpu("processor time, host"),
            &name,
            round,
            per_call(host.cpu_ns) / 1e3,
        );
        results.add(
            cpu("processor time, plugin"),
            &name,
            round,
            per_call(plugin.cpu_ns) / 1e3,
        );

        // Counted apart, so that nothing that counts slows down what is timed.
        let count = self.amounts.calls.min(4_000);
        let mut syscalls = |count| {
            self.counters.syscalls(pids, &self.scratch, || {
                session.order(calls(count)).map(|_| ())
            })
        };
        if let (Some([host, plugin]), Some(one)) = (syscalls(count + 1)?, syscalls(1)?) {
            // The difference leaves out what it costs to take the order.
            let each = |side: u64, one: u64| side.saturating_sub(one) as f64 / count as f64;
            let (host, plugin) = (each(host, one[0]), each(plugin, one[1]));
            let figure = |side: &str| Figure::per_call(&format!("system calls, {side}"), "");
            results.add(figure("both sides"), &name, round, host + plugin);
            results.add(figure("host"), &name, round, host);
            results.add(figure("plugin"), &name, round, plugin);
        }
        if round == 0 {
            let counted = self.counters.syscalls_by_name(pids, &self.scratch, || {
                session.order(calls(count)).map(|_| ())
            })?;
            for (side, counts) in ["host", "plugin"]
                .into_iter()
                .zip(counted.into_iter().flatten())
            {
                let each = counts
                    .into_iter()
                    .map(|(name, n)| (name, n as f64 / count as f64));
                // What happens now and then is no part of a call.
                let mut often: Vec<_> = each.filter(|(_, n)| *n >= 0.02).collect();
                often.sort_by(|a, b| b.1.total_cmp(&a.1));
                outcome.names.push((name.clone(), side, often));
            }
        }
        Ok(())
    }
}
