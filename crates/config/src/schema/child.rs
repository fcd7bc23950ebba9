//! `connections.<conn>.children.<child>`.
use super::connection::proposals;
use super::daemon::network::interface;
use super::values::{
    action, flag, interface_id, mark, number, one_of, some_number, some_time, text, time, word,
};
use super::{Context, Fields, Key, Kind};
use crate::capability::Capability;
use crate::report::Report;
use crate::tree::Section;
use policy::lifetime::{CHILD_REKEY_TIME, Limit};
use policy::{Child, MarkValue, Mode, SelectorTemplate, Vti};
use wire::iana::ProtocolId;

const MARK: &str = "value[/mask], %unique, %unique-dir";
const SET_MARK: &str = "value[/mask], %unique, %unique-dir, %same";
const SELECTORS: &str = "subnets, ranges or dynamic, with [protocol/port]";
const ACTIONS: &str = "none, trap, start, joined by |";

/// The keys of a child.
pub const KEYS: &[Key] = &[
    Key::new("ah_proposals", Kind::List("proposals"), "", "AH proposals, instead of ESP")
        .needs(Capability::Ah),
    Key::new("esp_proposals", Kind::List("proposals"), "default", "ESP proposals in order of preference"),
    Key::new("sha256_96", Kind::Flag, "no", "truncate HMAC-SHA-256 to 96 bits, as some old peers do")
        .needs(Capability::Sha256_96),
    Key::new("local_ts", Kind::List(SELECTORS), "dynamic", "our side of the traffic"),
    Key::new("remote_ts", Kind::List(SELECTORS), "dynamic", "the peer's side of the traffic"),
    Key::new("rekey_time", Kind::Time, "1h", "rekey after so long; life_time less a tenth where that is set"),
    Key::new("life_time", Kind::Time, "", "close after so long; rekey_time and a tenth"),
    Key::new("rand_time", Kind::Time, "", "rekey earlier by up to so much; life_time - rekey_time"),
    Key::new("rekey_bytes", Kind::Number, "0", "rekey after so many bytes; 0 never"),
    Key::new("life_bytes", Kind::Number, "", "close after so many bytes; rekey_bytes and a tenth"),
    Key::new("rand_bytes", Kind::Number, "", "rekey earlier by up to so many; life_bytes - rekey_bytes"),
    Key::new("rekey_packets", Kind::Number, "0", "rekey after so many packets; 0 never"),
    Key::new("life_packets", Kind::Number, "", "close after so many packets; rekey_packets and a tenth"),
    Key::new(
        "rand_packets",
        Kind::Number,
        "",
        "rekey earlier by up to so many; life_packets - rekey_packets",
    ),
    Key::new("updown", Kind::Text("command"), "", "command to run when the CHILD_SA comes up and goes down"),
    Key::new("hostaccess", Kind::Flag, "no", "tells the updown command to let the host itself through"),
    Key::new(
        "mode",
        Kind::Words("tunnel, transport, transport_proxy, beet, iptfs, pass, drop"),
        "tunnel",
        "IPsec mode; pass and drop make policies without an SA",
    ),
    Key::new("policies", Kind::Flag, "yes", "install policies").needs(Capability::KernelPolicies),
    Key::new("policies_fwd_out", Kind::Flag, "no", "install outbound forwarding policies, too")
        .needs(Capability::KernelPolicies),
    Key::new(
        "dpd_action",
        Kind::Text(ACTIONS),
        "clear",
        "what to do when the peer is dead: clear, trap, start",
    ),
    Key::new("ipcomp", Kind::Flag, "no", "compress before encrypting, where both ends and their kernels can"),
    Key::new("inactivity", Kind::Time, "0s", "close when there was no traffic for so long; 0 never"),
    Key::new("reqid", Kind::Number, "0", "fixed reqid; 0 for one of our choice"),
    Key::new("priority", Kind::Number, "0", "fixed priority of the policies; 0 for one by their selectors")
        .needs(Capability::Priority),
    Key::new("interface", Kind::Text("name"), "", "interface that outbound policies are bound to")
        .needs(Capability::KernelPolicies),
    Key::new(
        "vti_interface",
        Kind::Text("name"),
        "",
        "VTI device to make for this child, as long as somebody needs it; its keys are mark_in and mark_out. This and the \
         next three are libreswan's",
    )
    .needs(Capability::Vti),
    Key::new("vti_address", Kind::Text("address/prefix"), "", "address of the VTI device")
        .needs(Capability::Vti),
    Key::new("vti_routing", Kind::Flag, "yes", "route the peer's networks into the VTI device")
        .needs(Capability::Vti),
    Key::new("vti_shared", Kind::Flag, "no", "one VTI device for several peers").needs(Capability::Vti),
    Key::new("mark_in", Kind::Text(MARK), "0/0x00000000", "mark of inbound policies")
        .needs(Capability::Marks),
    Key::new("mark_in_sa", Kind::Flag, "no", "put mark_in on the inbound SA, too").needs(Capability::Marks),
    Key::new("mark_out", Kind::Text(MARK), "0/0x00000000", "mark of outbound policies and SAs")
        .needs(Capability::Marks),
    Key::new("set_mark_in", Kind::Text(SET_MARK), "0/0x00000000", "mark put on packets that were decrypted")
        .needs(Capability::Marks),
    Key::new("set_mark_out", Kind::Text(SET_MARK), "0/0x00000000", "mark put on packets that were encrypted")
        .needs(Capability::Marks),
    Key::new("if_id_in", Kind::Text("number, %unique, %unique-dir"), "0", "XFRM interface id, inbound")
        .needs(Capability::InterfaceIds),
    Key::new("if_id_out", Kind::Text("number, %unique, %unique-dir"), "0", "XFRM interface id, outbound")
        .needs(Capability::InterfaceIds),
    Key::new("label", Kind::Text("label"), "", "security label").needs(Capability::Labels),
    Key::new("label_mode", Kind::Words("system, simple, selinux"), "system", "how the label is used")
        .needs(Capability::Labels),
    Key::new(
        "tfc_padding",
        Kind::Text("number, mtu"),
        "0",
        "least size of ESP packets; mtu pads all to the path MTU",
    )
    .needs(Capability::TfcPadding),
    Key::new("replay_window", Kind::Number, "32", "packets in the replay window; 0 lets replays through"),
    Key::new("per_cpu_sas", Kind::Words("no, yes, encap"), "no", "one SA for each CPU (RFC 9611)")
        .needs(Capability::PerCpu),
    Key::new(
        "hw_offload",
        Kind::Words("no, yes, crypto, packet, auto"),
        "no",
        "let the network card encrypt",
    )
    .needs(Capability::Offload),
    Key::new("copy_df", Kind::Flag, "yes", "copy the DF bit to the outer header")
        .needs(Capability::HeaderCopy),
    Key::new("copy_ecn", Kind::Flag, "yes", "copy ECN between the headers").needs(Capability::HeaderCopy),
    Key::new(
        "copy_dscp",
        Kind::Words("out, in, yes, no"),
        "out",
        "in which direction DSCP is copied between the headers",
    )
    .needs(Capability::HeaderCopy),
    Key::new("icmp", Kind::Flag, "no", "let ICMP errors through whose source does not fit the selectors")
        .needs(Capability::KernelPolicies),
    Key::new("start_action", Kind::Text(ACTIONS), "none", "what to do once loaded"),
    Key::new("close_action", Kind::Text(ACTIONS), "none", "what to do when the peer closes the CHILD_SA"),
];

const MODES: &[(&str, Mode)] = &[
    ("tunnel", Mode::Tunnel),
    ("transport", Mode::Transport),
    ("transport_proxy", Mode::TransportProxy),
    ("beet", Mode::Beet),
    ("iptfs", Mode::Iptfs),
    ("pass", Mode::Pass),
    ("drop", Mode::Drop),
];

/// Reads a child.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_child(
    path: &str,
    name: &str,
    section: &Section,
    context: &Context,
) -> Result<Child, Vec<Report>> {
    let mut f = Fields::new(path, section, KEYS, &context.capabilities);
    let mut c = Child::named(name);
    c.replay_window = context.replay_window;
    let mut ah = Vec::new();
    f.list("ah_proposals", &mut ah, |t| proposals(ProtocolId::Ah, t));
    if !ah.is_empty() {
        if f.has("esp_proposals") {
            f.wrong("ah_proposals", "a child has either esp_proposals or ah_proposals");
        }
        c.proposals = ah;
    }
    f.list("esp_proposals", &mut c.proposals, |t| proposals(ProtocolId::Esp, t));
    f.set("sha256_96", &mut c.sha256_96, flag);
    f.list("local_ts", &mut c.local_ts, selectors);
    f.list("remote_ts", &mut c.remote_ts, selectors);
    lifetime(&mut f, &mut c);
    f.set("updown", &mut c.updown, text);
    f.set("hostaccess", &mut c.hostaccess, flag);
    f.set("mode", &mut c.mode, |t| word(t, MODES));
    let needs = match c.mode {
        Mode::Tunnel | Mode::Pass | Mode::Drop => None,
        Mode::Transport => Some(Capability::Transport),
        Mode::TransportProxy => Some(Capability::TransportProxy),
        Mode::Beet => Some(Capability::Beet),
        Mode::Iptfs => Some(Capability::Iptfs),
    };
    if let Some(capability) = needs {
        f.need(capability, "mode");
    }
    f.set("policies", &mut c.policies, flag);
    f.set("policies_fwd_out", &mut c.policies_fwd_out, flag);
    f.set("dpd_action", &mut c.dpd_action, action);
    f.set("ipcomp", &mut c.ipcomp, flag);
    f.set("inactivity", &mut c.inactivity, time);
    f.set("reqid", &mut c.reqid, number);
    f.set("priority", &mut c.priority, number);
    f.set("interface", &mut c.interface, text);
    f.set("mark_in", &mut c.mark_in, |t| mark(t, false));
    f.set("mark_in_sa", &mut c.mark_in_sa, flag);
    f.set("mark_out", &mut c.mark_out, |t| mark(t, false));
    f.set("set_mark_in", &mut c.set_mark_in, |t| mark(t, true));
    f.set("set_mark_out", &mut c.set_mark_out, |t| mark(t, true));
    f.set("if_id_in", &mut c.if_id_in, interface_id);
    f.set("if_id_out", &mut c.if_id_out, interface_id);
    vti(&mut f, &mut c);
    f.set("label", &mut c.label, text);
    f.set("label_mode", &mut c.label_mode, |t| one_of(t, &["system", "simple", "selinux"]));
    f.set("tfc_padding", &mut c.tfc_padding, |t| if t == "mtu" { Ok(u32::MAX) } else { number(t) });
    f.set("replay_window", &mut c.replay_window, number);
    f.set("per_cpu_sas", &mut c.per_cpu_sas, |t| match flag(t) {
        Ok(true) => Ok("yes".into()),
        Ok(false) => Ok("no".into()),
        Err(_) => one_of(t, &["no", "yes", "encap"]),
    });
    f.set("hw_offload", &mut c.hw_offload, |t| match t {
        "yes" => Ok("crypto".into()),
        _ => one_of(t, &["no", "crypto", "packet", "auto", "yes"]),
    });
    f.set("copy_df", &mut c.copy_df, flag);
    f.set("copy_ecn", &mut c.copy_ecn, flag);
    f.set("copy_dscp", &mut c.copy_dscp, |t| one_of(t, &["out", "in", "yes", "no"]));
    f.set("icmp", &mut c.icmp, flag);
    f.set("start_action", &mut c.start_action, action);
    f.set("close_action", &mut c.close_action, action);
    f.finish(c)
}

/// The VTI device; mode and marks have been read.
fn vti(f: &mut Fields<'_>, c: &mut Child) {
    let mut name = None;
    f.set("vti_interface", &mut name, interface);
    let (mut address, mut routing, mut shared) = (None, true, false);
    f.set("vti_address", &mut address, |t| match t {
        "" => Ok(None),
        _ => {
            t.parse().map(Some).map_err(|_| format!("`{t}` is no address with its prefix, like 10.9.0.1/30"))
        }
    });
    f.set("vti_routing", &mut routing, flag);
    f.set("vti_shared", &mut shared, flag);
    let Some(name) = name else {
        for (key, given) in
            [("vti_address", address.is_some()), ("vti_routing", !routing), ("vti_shared", shared)]
        {
            if given {
                f.wrong(key, "this is about the device that `vti_interface` names, and there is none");
            }
        }
        return;
    };
    let marks = [c.mark_in.value, c.mark_out.value];
    if marks.contains(&MarkValue::None) {
        f.wrong("vti_interface", "a VTI device has the marks as its keys: set mark_in and mark_out");
    }
    if shared && marks.iter().any(|mark| matches!(mark, MarkValue::Unique | MarkValue::UniqueDir)) {
        f.wrong("vti_shared", "a shared VTI device has one mark for all: %unique cannot be");
    }
    if [c.if_id_in, c.if_id_out] != [MarkValue::None; 2] {
        f.wrong("vti_interface", "a child goes through a VTI device or an XFRM interface, not both");
    }
    if c.mode != Mode::Tunnel {
        f.wrong("vti_interface", "a VTI device needs mode = tunnel");
    }
    c.vti = Some(Vti { interface: name, address, routing, shared });
}

fn selectors(text: &str) -> Result<Vec<SelectorTemplate>, String> {
    SelectorTemplate::parse(text).map(|s| vec![s]).map_err(|e| e.to_string())
}

fn lifetime(f: &mut Fields<'_>, c: &mut Child) {
    let mut limit = |names: [&str; 3], default: u64, parse: fn(&str) -> Result<Option<u64>, String>| {
        let mut given = [None; 3];
        for (name, slot) in names.into_iter().zip(&mut given) {
            f.set(name, slot, parse);
        }
        let [rekey, life, rand] = given;
        Limit::complete(rekey, life, rand, default)
    };
    c.lifetime.time = limit(["rekey_time", "life_time", "rand_time"], CHILD_REKEY_TIME, some_time);
    c.lifetime.bytes = limit(["rekey_bytes", "life_bytes", "rand_bytes"], 0, some_number);
    c.lifetime.packets = limit(["rekey_packets", "life_packets", "rand_packets"], 0, some_number);
}
