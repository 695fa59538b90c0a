// SPDX-License-Identifier: GPL-2.0
/*
 * What KVM believes of an emulated CPU -> what is so; a module for the lab's kernel, to be loaded after kvm_amd.
 *
 * Since Linux 6.14 KVM stops a guest that uses a device's memory while an event is delivered to it ("KVM internal
 * error. Suberror: 3"). It asks for the type in EXITINTINFO, not whether the field is valid, and QEMU's emulation
 * leaves there the type of an exception that the guest has had long since. This answers: no event is on its way.
 */
#include <linux/kprobes.h>
#include <linux/module.h>

#define X86EMUL_CONTINUE 0
#define X86EMUL_UNHANDLEABLE_VECTORING 7

static int answered(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	if ((int)regs_return_value(regs) == X86EMUL_UNHANDLEABLE_VECTORING)
		regs_set_return_value(regs, X86EMUL_CONTINUE);
	return 0;
}

static struct kretprobe question = {
	.kp.symbol_name = "svm_check_emulate_instruction",
	.handler = answered,
};

static int __init lab_kvm_init(void)
{
	return register_kretprobe(&question);
}

static void __exit lab_kvm_exit(void)
{
	unregister_kretprobe(&question);
}

module_init(lab_kvm_init);
module_exit(lab_kvm_exit);
MODULE_DESCRIPTION("An emulated CPU's event delivery, for KVM in vmvc's lab");
MODULE_LICENSE("GPL");
