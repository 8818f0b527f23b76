// Formats jobs as lines, or as elements of the list's array.

use super::{Export, LineFormat, PartialJob};
use crate::engine::read::document::splice;
use crate::engine::read::missing_job::missing;
use crate::engine::read::reader::Unit;
use crate::index::rows::{DETAIL_JOBS, Detail};
use crate::log::block::{BLOCK_STATUS, PIECE_BYTES, Row};
use crate::model::error::Result;
use crate::model::job_json::JobJson;
use crate::model::secrets::MaskedRequest;
use crate::model::states::State;
use crate::model::unlisted::Unlisted;

impl Export {
    /// Adds the next jobs, or the beginning of a large job, to the output. Returns the position
    /// after them, or `None` if there are no more.
    pub(super) fn put_unit(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        let snapshot = self.snapshot.clone();
        let newest_first = snapshot.newest_first;
        let next = match newest_first {
            true => snapshot.selection.before(self.place.unwrap_or(u64::MAX)),
            false => {
                let from = self.place.unwrap_or(0);
                let mut at = snapshot.selection.place(from);
                snapshot.selection.next(from, &mut at)
            }
        };
        let Some((sequence, state)) = next else {
            return Ok(None);
        };
        let unit = match newest_first {
            true => snapshot.unit_back(sequence),
            false => sequence..u64::MAX,
        };
        self.reader.seek_range(unit.clone(), &snapshot);
        let after = |sequence| match newest_first {
            true => sequence,
            false => sequence + 1,
        };
        match self.reader.read(&self.graph.core, &snapshot)? {
            None => Ok(None),
            Some(Unit::Large(large)) if self.reveals && large.row.unlisted_end > 0 => {
                let row = large.row;
                let (text, unlisted) = large.whole()?;
                self.put(sequence, state, (&text, &row, &unlisted), out)?;
                Ok(Some(after(sequence)))
            }
            Some(Unit::Large(large)) => {
                let begun = PartialJob {
                    left: large.row.end as usize,
                    resume_at: after(sequence),
                    large,
                    state,
                };
                self.put_piece(begun, out).map(Some)
            }
            Some(Unit::Block) => {
                let block = std::mem::take(&mut self.reader.block);
                let first = block.first_sequence;
                let end = first + block.rows.len() as u64;
                let mut sequences = Vec::new();
                let (mut at, mut from) = (snapshot.selection.place(first), first.max(unit.start));
                while let Some((found, state)) = snapshot.selection.next(from, &mut at) {
                    if found >= end.min(unit.end) {
                        break;
                    }
                    sequences.push((found, state));
                    from = found + 1;
                }
                if newest_first {
                    sequences.reverse();
                }
                let mut resume_at = if newest_first { unit.start } else { end };
                let mut last = None;
                let put = sequences.iter().try_for_each(|&(sequence, state)| {
                    // The output is limited here, too, because outcomes can be larger than their
                    // jobs. The rest of the block is read again for the next unit.
                    if let Some(last) = last.filter(|_| out.len() >= PIECE_BYTES) {
                        resume_at = after(last);
                        return Ok(());
                    }
                    last = Some(sequence);
                    let n = (sequence - first) as usize;
                    let row = &block.rows[n];
                    let text = block.row_text(row);
                    let row = Row {
                        start: 0,
                        end: row.end - row.start,
                        ..*row
                    };
                    let unlisted = block.unlisted(n);
                    self.put(sequence, state, (text, &row, unlisted), out)
                });
                self.reader.block = block;
                put?;
                Ok(Some(resume_at))
            }
        }
    }

    /// Adds the next piece of a large job, and clears `begun` once the whole job has been written.
    pub(super) fn put_piece(&mut self, mut begun: PartialJob, out: &mut Vec<u8>) -> Result<u64> {
        let (sequence, row) = (begun.large.sequence, begun.large.row);
        let is_first = begun.left == row.end as usize;
        let mut piece = std::mem::take(&mut self.piece);
        let left = match begun.large.next_piece(&mut piece)? {
            true => begun.left.checked_sub(piece.len()),
            false => None,
        };
        begun.left = left.ok_or_else(|| missing(&self.graph.core.path(), sequence))?;
        // The details are added before the job's last brace.
        let text = &piece[..piece.len() - usize::from(begun.left == 0)];
        match is_first {
            true => {
                self.comma(out);
                splice(text, &row, begun.state, out)?;
            }
            false => out.extend_from_slice(text),
        }
        self.piece = piece;
        let resume_at = begun.resume_at;
        match begun.left {
            0 => {
                let unlisted = begun.large.start_of_unlisted()?;
                let parts = self.parts(sequence, &unlisted)?;
                let masked = parts.is_masked();
                self.put_json_fields((sequence, begun.state), &row, (parts, masked), out)?;
            }
            _ => self.begun = Some(begun),
        }
        Ok(resume_at)
    }

    /// Adds a job, as a line or as an element of an array.
    fn put(
        &mut self,
        sequence: u64,
        state: State,
        (text, row, unlisted): (&[u8], &Row, &[u8]),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.comma(out);
        let parts = self.parts(sequence, unlisted)?;
        let is_revealed = self.reveals && parts.has_values();
        if is_revealed {
            let (at, request) = (row.status_at(), row.request_range());
            out.extend_from_slice(&text[..at]);
            out.extend_from_slice(state.as_str().as_bytes());
            out.extend_from_slice(&text[at + BLOCK_STATUS.len()..request.start]);
            let stored = std::str::from_utf8(&text[request]).ok();
            let masked_request =
                stored.and_then(|stored| MaskedRequest::from_stored(stored, unlisted));
            let real = masked_request.and_then(|masked_request| masked_request.revealed());
            let real = real.ok_or_else(|| missing(&self.graph.core.path(), sequence))?;
            out.extend_from_slice(real.as_json().as_bytes());
        } else {
            // The details are added before the job's last brace.
            splice(&text[..text.len() - 1], row, state, out)?;
        }
        let masked = match is_revealed {
            true => parts.secrets_lost,
            false => parts.is_masked(),
        };
        self.put_json_fields((sequence, state), row, (parts, masked), out)
    }

    fn parts<'u>(&self, sequence: u64, unlisted: &'u [u8]) -> Result<Unlisted<'u>> {
        Unlisted::read(unlisted).ok_or_else(|| missing(&self.graph.core.path(), sequence))
    }

    fn comma(&self, out: &mut Vec<u8>) {
        if self.form == LineFormat::Members && self.jobs > 0 {
            out.push(b',');
        }
    }

    /// Adds the details that follow the job's request, and closes the job's object.
    fn put_json_fields(
        &mut self,
        (sequence, state): (u64, State),
        row: &Row,
        (parts, masked): (Unlisted<'_>, bool),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if masked {
            out.extend_from_slice(br#","masked":true"#);
        }
        let detail = match state {
            State::Pending => Detail::default(),
            State::Running | State::Complete => self.detail(sequence)?,
        };
        let finished = detail.finished.filter(|_| state == State::Complete);
        let (engine, core) = (self.graph.engine(), &self.graph.core);
        let outcome = match state {
            State::Complete => {
                let known = (self.snapshot.log(), &mut self.extras);
                Some(engine.outcome(core, sequence, &detail, known)?)
            }
            State::Pending | State::Running => None,
        };
        let progress = || {
            let cell = core.state.read().activity.watched.get(&sequence).cloned();
            cell.and_then(|cell| cell.progress.lock().clone())
        };
        let secret_keys = engine.secret_keys();
        let json_fields = JobJson {
            origin: parts.origin,
            cancel_requested: state == State::Running && self.snapshot.is_cancelling(sequence),
            outcome: outcome.as_ref(),
            masked: (!self.reveals).then_some(&*secret_keys),
            submitted_ms: row.submitted_ms,
            started_ms: detail.started_ms,
            completed_ms: finished.map(|end| end.at_ms),
            progress: match self.form {
                LineFormat::Lines => None,
                _ if state == State::Running => progress(),
                _ => None,
            },
        };
        match self.form {
            LineFormat::Members => {
                json_fields.put_member(out);
                out.push(b'}');
            }
            _ => {
                json_fields.put_line(out);
                out.extend_from_slice(b"}\n");
            }
        }
        self.jobs += 1;
        Ok(())
    }

    fn detail(&mut self, sequence: u64) -> Result<Detail> {
        let group = sequence / DETAIL_JOBS;
        let row = match self.details.take() {
            Some((known, row)) if known == group => row,
            _ => self.graph.engine().details(&self.graph.core, group)?,
        };
        let detail = row.0[(sequence % DETAIL_JOBS) as usize];
        self.details = Some((group, row));
        Ok(detail)
    }
}
