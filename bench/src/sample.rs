//! What one process had done and used up to a moment, and the difference between two moments.
//!
//! Every process under test answers with a [`Sample`]; a [`Window`] is made of four of them: sender and
//! receiver, before and after. Rates come from the receiver, costs from both.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::{allocations, clock};

/// Counters of one process, all since its start.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// When this was taken.
    pub(crate) now_ns: u64,
    /// Messages that arrived at this process.
    pub(crate) messages: u64,
    /// Payload bytes of those messages.
    pub(crate) bytes: u64,
    /// CPU time of all threads.
    pub(crate) cpu: Cpu,
    /// Heap allocations.
    pub(crate) allocations: u64,
    /// System calls on the data path, by the engine's own counters; none for raw.
    pub(crate) syscalls: u64,
}

impl Sample {
    /// The counters of this process now, beside those that the caller counts.
    pub(crate) fn take(messages: u64, bytes: u64, syscalls: u64) -> Self {
        let allocations = allocations::count();
        Self {
            now_ns: clock::now_ns(),
            messages,
            bytes,
            cpu: Cpu::of_this_process(),
            allocations,
            syscalls,
        }
    }
}

/// CPU time of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cpu {
    /// In the program itself.
    pub(crate) user_ns: u64,
    /// In the kernel on its behalf.
    pub(crate) system_ns: u64,
}

impl Cpu {
    pub(crate) fn of_this_process() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
        Self {
            user_ns: nanoseconds(usage.user_time()),
            system_ns: nanoseconds(usage.system_time()),
        }
    }

    /// What was used since `before`.
    fn since(self, before: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns + other.user_ns,
            system_ns: self.system_ns + other.system_ns,
        }
    }

    pub(crate) fn ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

/// CPU time of a process in a window, in percent of one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuShare {
    /// In the program itself.
    pub(crate) user_percent: f64,
    /// In the kernel on its behalf.
    pub(crate) system_percent: f64,
}

fn nanoseconds(time: TimeVal) -> u64 {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    u64::try_from(micros).unwrap_or_default() * 1_000
}

/// What happened between two samples of a sender and two of its receiver.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    /// Messages that the receiver got.
    pub(crate) messages: u64,
    /// Their payload bytes.
    pub(crate) bytes: u64,
    /// By the receiver's clock.
    pub(crate) lasted: Duration,
    /// CPU time of the sender and of the receiver.
    pub(crate) cpu: [Cpu; 2],
    /// Heap allocations of both processes.
    pub(crate) allocations: u64,
    /// System calls of both processes, where they are counted.
    pub(crate) syscalls: u64,
}

impl Window {
    /// The difference between `(before, after)` of a sender and of its receiver.
    pub(crate) fn between(sender: (Sample, Sample), receiver: (Sample, Sample)) -> Self {
        let both = |of: fn(&Sample) -> u64| {
            let spent = |(before, after): &(Sample, Sample)| of(after).saturating_sub(of(before));
            spent(&sender) + spent(&receiver)
        };
        let cpu = [sender, receiver].map(|(before, after)| after.cpu.since(before.cpu));
        let (before, after) = receiver;
        Self {
            messages: after.messages.saturating_sub(before.messages),
            bytes: after.bytes.saturating_sub(before.bytes),
            lasted: Duration::from_nanos(after.now_ns.saturating_sub(before.now_ns)),
            cpu,
            allocations: both(|sample| sample.allocations),
            syscalls: both(|sample| sample.syscalls),
        }
    }

    /// Messages per second.
    pub(crate) fn messages_per_s(&self) -> f64 {
        figure(self.messages) / self.lasted.as_secs_f64()
    }

    /// Payload in MiB per second.
    pub(crate) fn mib_per_s(&self) -> f64 {
        figure(self.bytes) / (1024.0 * 1024.0) / self.lasted.as_secs_f64()
    }

    /// CPU time of both processes, user and system.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.cpu.iter().map(|cpu| cpu.ns()).sum()
    }

    /// What the sender and the receiver used of a core.
    pub(crate) fn cpu_shares(&self) -> [CpuShare; 2] {
        let lasted_ns = self.lasted.as_secs_f64() * 1e9;
        self.cpu.map(|cpu| CpuShare {
            user_percent: 100.0 * figure(cpu.user_ns) / lasted_ns,
            system_percent: 100.0 * figure(cpu.system_ns) / lasted_ns,
        })
    }

    /// `count` for each message of this window.
    pub(crate) fn per_message(&self, count: u64) -> f64 {
        figure(count) / figure(self.messages.max(1))
    }

    /// Both windows as if they were one.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            lasted: self.lasted + other.lasted,
            cpu: [0, 1].map(|end| self.cpu[end].and(other.cpu[end])),
            allocations: self.allocations + other.allocations,
            syscalls: self.syscalls + other.syscalls,
        }
    }
}

/// A count as a floating point number.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure of a table: 53 bits are enough"
)]
pub(crate) fn figure(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_its_rate_from_the_receiver_and_its_cost_from_both() {
        let at = |now_ns, messages, cpu_ns| Sample {
            now_ns,
            messages,
            bytes: messages * 64,
            cpu: Cpu {
                user_ns: cpu_ns,
                system_ns: cpu_ns / 10,
            },
            allocations: 1,
            syscalls: messages / 10,
        };
        let sender = (at(0, 50, 100), at(3_000_000_000, 1_000, 600));
        let receiver = (at(500_000_000, 40, 10), at(1_500_000_000, 140, 510));
        let window = Window::between(sender, receiver);
        assert_eq!((window.messages, window.bytes), (100, 6_400));
        assert_eq!(window.lasted, Duration::from_secs(1));
        assert!((window.messages_per_s() - 100.0).abs() < 1e-9);
        assert!((window.per_message(window.cpu_ns()) - 11.0).abs() < 1e-9);
        let [sender, receiver] = window.cpu_shares();
        assert!((sender.user_percent - 5e-5).abs() < 1e-9, "{sender:?}");
        assert!(
            (receiver.system_percent - 5e-6).abs() < 1e-9,
            "{receiver:?}"
        );
        assert_eq!((window.allocations, window.syscalls), (0, 95 + 10));
        assert_eq!(window.and(window).messages, 200);
    }

    #[test]
    fn a_sample_of_this_process_has_a_time_and_used_cpu() {
        let mut sum = 0_u64;
        for number in 0..50_000_000_u64 {
            sum = std::hint::black_box(sum ^ number);
        }
        let sample = Sample::take(1, 2, 3);
        assert!(sample.now_ns > 0 && sample.cpu.ns() > 0, "{sample:?} {sum}");
    }
}
