//! Who sits where: seats, who has taken them, who comes and goes.
//!
//! Owns the count of participants and the choice of who leaves under churn. Must not measure.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::participant::attend;
use super::plan::{Role, Seat};
use super::world::{Attendance, Notice, World};
use crate::report::model::Joins;
use crate::scenario::{Churn, Scenario};

/// See the module.
pub(super) struct Crowd {
    seats: Vec<Taken>,
    /// Seats that had their first participant.
    seated: usize,
    churn: Option<Churn>,
    random: ChaCha8Rng,
    /// Joins begun.
    attempted: u64,
    /// Joins that succeeded.
    pub(super) joined: u64,
    /// Joins that failed.
    pub(super) failed: u64,
    /// Participants who left because of churn.
    left: u64,
    /// Participants who were in, were cut off, and did not come back.
    lost: u64,
    rejoined: u64,
    resumed: u64,
}

/// A seat and who has it.
struct Taken {
    seat: Seat,
    generation: u32,
    state: State,
    /// Dropping it makes the participant leave.
    leave: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Joining,
    In {
        since: Instant,
    },
    /// Told to go.
    Leaving,
}

impl Crowd {
    pub(super) fn new(seats: Vec<Seat>, scenario: &Scenario) -> Self {
        Self {
            seats: seats
                .into_iter()
                .map(|seat| Taken {
                    seat,
                    generation: 0,
                    state: State::Empty,
                    leave: None,
                })
                .collect(),
            seated: 0,
            churn: scenario.churn,
            random: ChaCha8Rng::seed_from_u64(scenario.seed),
            attempted: 0,
            joined: 0,
            failed: 0,
            left: 0,
            lost: 0,
            rejoined: 0,
            resumed: 0,
        }
    }

    /// Seats in all.
    pub(super) fn seats(&self) -> usize {
        self.seats.len()
    }

    /// How joining went.
    pub(super) fn joins(&self) -> Joins {
        Joins {
            attempted: self.attempted,
            succeeded: self.joined,
            failed: self.failed,
            left: self.left,
            lost: self.lost,
            rejoined: self.rejoined,
            resumed: self.resumed,
        }
    }

    /// Whether someone has yet to set out.
    pub(super) fn has_empty_seats(&self) -> bool {
        self.seated < self.seats.len()
    }

    /// Whether all have set out and are in or have failed.
    pub(super) fn is_settled(&self) -> bool {
        !self.has_empty_seats() && !self.seats.iter().any(|taken| taken.state == State::Joining)
    }

    /// Participants who are in.
    pub(super) fn present(&self) -> u32 {
        let present = self
            .seats
            .iter()
            .filter(|taken| matches!(taken.state, State::In { .. }));
        present.count() as u32
    }

    /// Participants who have not gone yet.
    pub(super) fn present_or_joining(&self) -> usize {
        self.seats
            .iter()
            .filter(|taken| taken.state != State::Empty)
            .count()
    }

    /// The next participant sets out.
    pub(super) fn seat_next(&mut self, world: &Arc<World>) {
        let index = self.seated;
        self.seated += 1;
        self.seat(world, index);
    }

    fn seat(&mut self, world: &Arc<World>, index: usize) {
        let Some(taken) = self.seats.get_mut(index) else {
            return;
        };
        let (leave, left) = oneshot::channel();
        taken.leave = Some(leave);
        taken.state = State::Joining;
        self.attempted += 1;
        let (seat, generation) = (taken.seat.clone(), taken.generation);
        tokio::spawn(attend(Arc::clone(world), seat, generation, left));
    }

    /// When someone leaves next.
    pub(super) fn next_churn(&mut self) -> Option<Instant> {
        let per_minute = self
            .churn
            .map(|churn| churn.per_minute)
            .filter(|rate| *rate > 0.0)?;
        let mean = 60.0 / per_minute;
        Some(Instant::now() + Duration::from_secs_f64(mean * self.random.random_range(0.5..1.5)))
    }

    /// Someone leaves, and another takes the seat.
    pub(super) fn churn(&mut self, world: &Arc<World>) {
        let Some(churn) = self.churn else {
            return;
        };
        let now = Instant::now();
        let may_leave = |taken: &Taken| {
            let stayed = matches!(taken.state, State::In { since } if now >= since + churn.stay);
            stayed && churn.who.includes(taken.seat.role == Role::Publisher)
        };
        let indexes = self
            .seats
            .iter()
            .enumerate()
            .filter(|(_, taken)| may_leave(taken));
        let Some(index) = indexes.map(|(index, _)| index).choose(&mut self.random) else {
            return;
        };
        self.seats[index].leave = None;
        self.seats[index].generation += 1;
        self.left += 1;
        self.seat(world, index);
    }

    /// Everyone is told to leave.
    pub(super) fn dismiss(&mut self) {
        for taken in self
            .seats
            .iter_mut()
            .filter(|taken| taken.state != State::Empty)
        {
            taken.state = State::Leaving;
            taken.leave = None;
        }
    }

    /// What a participant says of itself.
    pub(super) fn on_notice(&mut self, of: Attendance, notice: &Notice) {
        let Some(taken) = self.seats.get_mut(of.seat as usize) else {
            return;
        };
        // Another may have the seat by now: then only the counts matter.
        let current = taken.generation == of.generation;
        match notice {
            Notice::Joined { .. } => {
                self.joined += 1;
                if current && taken.state == State::Joining {
                    taken.state = State::In {
                        since: Instant::now(),
                    };
                }
            }
            Notice::Gone { was_in, result } => {
                if result.is_err() && *was_in {
                    self.lost += 1;
                } else if result.is_err() {
                    self.failed += 1;
                }
                if current {
                    taken.state = State::Empty;
                }
            }
            Notice::Back(_) => self.rejoined += 1,
            Notice::Resumed => self.resumed += 1,
            Notice::FirstFrame { .. } | Notice::Server { .. } | Notice::Trouble(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::ParticipantError;
    use super::*;
    use crate::run::plan::plan;

    fn crowd() -> Crowd {
        let mut scenario = Scenario::load("meeting", &[]).expect("built in");
        (scenario.rooms, scenario.publishers, scenario.subscribers) = (1, 2, 0);
        let mut crowd = Crowd::new(plan(&scenario), &scenario);
        for taken in &mut crowd.seats {
            taken.state = State::Joining;
        }
        crowd.seated = 2;
        crowd
    }

    const FIRST: Attendance = Attendance {
        seat: 0,
        generation: 0,
    };
    const SECOND: Attendance = Attendance {
        seat: 1,
        generation: 0,
    };

    fn gone(was_in: bool, wrong: bool) -> Notice {
        let lost = ParticipantError::TransportLost("publisher's");
        Notice::Gone {
            was_in,
            result: if wrong { Err(lost) } else { Ok(()) },
        }
    }

    fn joined() -> Notice {
        Notice::Joined {
            after: Duration::from_millis(5),
        }
    }

    #[test]
    fn the_joining_ends_when_each_is_in_or_has_failed() {
        let mut crowd = crowd();
        crowd.on_notice(FIRST, &joined());
        assert!(!crowd.is_settled());
        crowd.on_notice(SECOND, &gone(false, true));
        assert!(crowd.is_settled());
        assert_eq!((crowd.joined, crowd.failed, crowd.present()), (1, 1, 1));
    }

    #[test]
    fn who_was_in_and_is_cut_off_is_lost_and_who_leaves_is_not() {
        let mut crowd = crowd();
        crowd.on_notice(FIRST, &joined());
        crowd.on_notice(SECOND, &joined());
        crowd.on_notice(FIRST, &gone(true, true));
        crowd.on_notice(SECOND, &gone(true, false));
        assert_eq!(
            (crowd.lost, crowd.failed, crowd.present_or_joining()),
            (1, 0, 0)
        );
    }

    #[test]
    fn news_of_one_who_has_been_replaced_does_not_empty_the_seat() {
        let mut crowd = crowd();
        crowd.on_notice(FIRST, &joined());
        crowd.seats[0].generation = 1;
        crowd.on_notice(FIRST, &gone(true, false));
        assert_eq!(crowd.present(), 1);
    }
}
