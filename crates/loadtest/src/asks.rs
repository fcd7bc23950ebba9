//! What an engine of clients wants to know, answered at once.
use crate::credentials::Credenza;
use crate::traffic::Flows;
use ike::{Answer, Ask};

/// Answers.
pub(crate) struct Asks {
    pub(crate) credentials: Credenza,
    /// Where packets are wanted.
    pub(crate) flows: Option<Flows>,
}

impl Asks {
    /// The answer; there is always one.
    pub(crate) fn take(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::InstallChild(child) => match self.flows.as_mut().map(|flows| flows.install(&child)) {
                Some(Err(why)) => Answer::Failed(why),
                Some(Ok(())) | None => Answer::Done,
            },
            Ask::ActivateOutbound { child } => {
                if let Some(flows) = &mut self.flows {
                    flows.activate(child);
                }
                Answer::Done
            }
            Ask::RemoveChild { child, .. } => {
                if let Some(flows) = &mut self.flows {
                    flows.remove(child);
                }
                Answer::Removed {
                    usage_in: policy::sa::Usage::default(),
                    usage_out: policy::sa::Usage::default(),
                }
            }
            Ask::UpdateChild { child, local, remote, encap } => {
                if let Some(flows) = &mut self.flows {
                    flows.update(child, esp::Path { local, remote, encap });
                }
                Answer::Done
            }
            // Addresses are put nowhere: whose packets these are is known without.
            Ask::VirtualIps { .. }
            | Ask::InstallPolicy(_)
            | Ask::RemovePolicy { .. }
            | Ask::Release { .. } => Answer::Done,
            Ask::Resolve { .. } => Answer::Failed("the gateway is known by its address only".to_owned()),
            Ask::Lease(_) => Answer::Failed("a virtual client gives no addresses".to_owned()),
            Ask::Sign(request) => self.credentials.sign(&request),
            Ask::Judge(request) => self.credentials.judge(*request),
            Ask::Eap { session, input } => self.credentials.eap(session, input),
        }
    }
}
